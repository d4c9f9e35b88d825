//! `name = value, …` in the brackets of an attribute.

use proc_macro2::{Ident, TokenStream};
use syn::{
    Error, Expr, ExprLit, Lit, LitBool, LitInt, LitStr, Result, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

/// An argument that an attribute knows.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// An example of what the author may write.
    pub(super) example: &'static str,
}

/// The arguments of one attribute: each is known, has a value and is given once.
pub(super) struct Arguments {
    known: &'static [Known],
    given: Vec<Argument>,
}

struct Argument {
    name: Ident,
    value: Option<Expr>,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        // `async` is a keyword.
        let name = input.call(Ident::parse_any)?;
        let equals: Option<Token![=]> = input.parse()?;
        let value = equals.map(|_| input.parse()).transpose()?;
        Ok(Self { name, value })
    }
}

impl Arguments {
    pub(super) fn parse(tokens: TokenStream, known: &'static [Known]) -> Result<Self> {
        let parser = Punctuated::<Argument, Token![,]>::parse_terminated;
        let given = parser.parse2(tokens).map_err(|error| {
            let message = format!("{error}; the arguments are {}", shown(known));
            Error::new(error.span(), message)
        })?;
        let arguments = Self {
            known,
            given: given.into_iter().collect(),
        };
        arguments.check_names()?;
        Ok(arguments)
    }

    fn check_names(&self) -> Result<()> {
        for (index, argument) in self.given.iter().enumerate() {
            let name = &argument.name;
            if !self.known.iter().any(|known| name == known.name) {
                let message = format!("there is no argument `{name}`; there are {}", shown(self.known));
                return Err(Error::new(name.span(), message));
            }
            if self.given[..index].iter().any(|earlier| earlier.name == *name) {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
        }
        Ok(())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<LitStr>> {
        self.literal(name, |literal| match literal {
            Lit::Str(text) => Some(text.clone()),
            _ => None,
        })
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<LitBool>> {
        self.literal(name, |literal| match literal {
            Lit::Bool(flag) => Some(flag.clone()),
            _ => None,
        })
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<LitInt>> {
        self.literal(name, |literal| match literal {
            Lit::Int(number) => Some(number.clone()),
            _ => None,
        })
    }

    fn literal<T>(&self, name: &str, read: impl Fn(&Lit) -> Option<T>) -> Result<Option<T>> {
        let Some(argument) = self.given.iter().find(|argument| argument.name == name) else {
            return Ok(None);
        };
        let wrong = || {
            let message = format!("write {}: an attribute takes literals only", self.example(name));
            match &argument.value {
                Some(value) => Error::new_spanned(value, message),
                None => Error::new(argument.name.span(), message),
            }
        };
        let literal = argument.value.as_ref().and_then(as_literal);
        literal.and_then(read).map(Some).ok_or_else(wrong)
    }

    fn example(&self, name: &str) -> String {
        let known = self.known.iter().find(|known| known.name == name);
        format!("`{}`", known.map_or(name, |known| known.example))
    }
}

fn shown(known: &[Known]) -> String {
    let examples: Vec<String> = known.iter().map(|known| format!("`{}`", known.example)).collect();
    match examples.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => examples.join(""),
    }
}

/// The literal, also one in the group in which a macro of the author passes it on.
fn as_literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        Expr::Group(group) => as_literal(&group.expr),
        _ => None,
    }
}
