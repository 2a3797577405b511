//! Enums that are words on the wire, in the database and in errors: one macro keeps all three the same.

/// A word that none of an enum's variants has, together with those that it could have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {word:?}; allowed: {}", allowed.join(", "))]
pub struct UnknownWord {
    /// What the word was to name, such as `topology`.
    pub what: &'static str,
    /// The word as given, cut to 64 characters.
    pub word: String,
    /// Every word that is allowed.
    pub allowed: &'static [&'static str],
}

impl UnknownWord {
    /// Keeps at most 64 characters of `word`, so that an error is never as large as its cause.
    pub(crate) fn new(what: &'static str, word: &str, allowed: &'static [&'static str]) -> Self {
        Self { what, word: word.chars().take(64).collect(), allowed }
    }
}

/// Declares an enum with its words: `as_str`, `ALL`, `WORDS`, `FromStr`, `Display` and serde as that word.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident as $what:literal { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word of every variant, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
            /// The word that stands for it in JSON, in the database and on the command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err($crate::domain::UnknownWord::new($what, other, Self::WORDS)),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::domain::{AgentType, Topology};

    #[test]
    fn every_word_reads_back_as_its_variant() {
        for kind in AgentType::ALL {
            assert_eq!(kind.as_str().parse::<AgentType>().unwrap(), *kind);
            let json = serde_json::to_string(kind).unwrap();
            assert_eq!(serde_json::from_str::<AgentType>(&json).unwrap(), *kind);
        }
    }

    #[test]
    fn an_unknown_word_names_what_is_allowed_and_is_cut() {
        let error = "torus".parse::<Topology>().unwrap_err();
        assert_eq!(error.to_string(), r#"unknown topology "torus"; allowed: mesh, hierarchical, ring, star"#);
        let long = "x".repeat(10_000).parse::<Topology>().unwrap_err();
        assert!(long.to_string().len() < 200);
    }
}
