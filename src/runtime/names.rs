//! Names of actor types for metric labels and log fields.

/// The name of the type without its modules and type parameters, such as `SwarmActor`.
pub(crate) fn actor_name<A>() -> &'static str {
    let full = std::any::type_name::<A>();
    let plain = full.split('<').next().unwrap_or(full);
    plain.rsplit("::").next().unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_modules_and_parameters() {
        assert_eq!(actor_name::<std::collections::BTreeMap<String, std::path::PathBuf>>(), "BTreeMap");
        assert_eq!(actor_name::<String>(), "String");
    }
}
