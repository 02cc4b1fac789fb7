//! The smallest program that can become a sandbox. Only the tests of this and other crates start it; the product starts
//! itself.

fn main() {
    sandbox::maybe_run_init();
}
