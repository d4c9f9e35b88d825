//! Keyset pages: a list continues after the last row that was shown, whatever was added meanwhile.

use std::fmt;

use actix_web::HttpResponse;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned},
};

pub use super::query::Query;

/// How many rows a page has at most: 1 to 200, 50 when not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Limit(u16);

impl Limit {
    /// How many rows to ask the database for: one more than is shown tells whether there is another page.
    pub fn fetch(self) -> u64 {
        self.rows() + 1
    }

    /// How many rows to show at most.
    pub fn rows(self) -> u64 {
        u64::from(self.0)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<String> for Limit {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.parse() {
            Ok(limit @ 1..=200) => Ok(Self(limit)),
            _ => Err("must be a whole number from 1 to 200"),
        }
    }
}

/// Where the next page begins: after the row with the key `K`. On the wire it is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor<K>(pub K);

impl<K: Serialize> fmt::Display for Cursor<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = serde_json::to_vec(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(key))
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Cursor<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|key| serde_json::from_slice(&key).ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom("is no cursor of this list"))
    }
}

/// Answers with the first `limit` of the rows that [`Limit::fetch`] asked for, and with a cursor after the
/// last of them when there are more.
pub fn page<R, T: Serialize, K: Serialize>(
    mut rows: Vec<R>,
    limit: Limit,
    key: impl Fn(&R) -> K,
    show: impl FnMut(R) -> T,
) -> HttpResponse {
    let shown = usize::from(limit.0);
    let more = rows.len() > shown;
    rows.truncate(shown);
    let next = next_cursor(&rows, more, key);
    super::json::list(rows.into_iter().map(show).collect(), next)
}

/// After the last of the rows, when there are `more`.
pub(super) fn next_cursor<R, K: Serialize>(rows: &[R], more: bool, key: impl Fn(&R) -> K) -> Option<String> {
    rows.last()
        .filter(|_| more)
        .map(|last| Cursor(key(last)).to_string())
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use proptest::prelude::*;
    use serde::de::{IntoDeserializer, value::Error};

    use super::*;

    fn read<K: DeserializeOwned>(text: &str) -> Result<Cursor<K>, Error> {
        Cursor::deserialize(text.into_deserializer())
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(key: (i64, String)) {
            let cursor = Cursor(key);
            prop_assert_eq!(read(&cursor.to_string()), Ok(cursor));
        }

        #[test]
        fn no_text_breaks_the_reader(text: String) {
            let _ = read::<(i64, String)>(&text);
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = Cursor("text").to_string();
        assert_eq!(
            read::<i64>(&cursor).unwrap_err().to_string(),
            "is no cursor of this list"
        );
    }

    #[actix_web::test]
    async fn only_a_page_with_more_behind_it_has_a_cursor() {
        let body = async |rows: Vec<u32>| -> serde_json::Value {
            let answer = page(rows, Limit(2), |row| *row, |row| row);
            serde_json::from_slice(&to_bytes(answer.into_body()).await.unwrap()).unwrap()
        };
        let last = serde_json::json!({"code": "SUCCESS", "data": [9, 8], "nextCursor": null});
        assert_eq!(body(vec![9, 8]).await, last);
        let more = body(vec![9, 8, 7]).await;
        assert_eq!(more["data"], serde_json::json!([9, 8]));
        assert_eq!(more["nextCursor"], Cursor(8).to_string());
    }
}
