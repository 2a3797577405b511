//! Tells cargo that a new folder under `migrations` changes the program: they are embedded.
fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
