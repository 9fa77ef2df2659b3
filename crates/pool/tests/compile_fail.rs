//! What the types forbid: each file in `compile_fail` must not compile, for the reason that lies beside it.

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
