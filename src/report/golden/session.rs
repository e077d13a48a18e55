use super::super::session::*;

#[test]
fn session_is_golden() {
    // `Debug` writes the name of a format first.
    let format = format_args!("Pyramid {{ secret: \"***\" }}");
    golden!(
        "session",
        [shown(&"[1, 2]"), "short"],
        [shown(&"å".repeat(300)), "long"],
        [wrong_type("cart", "u32", &shown(&"[1, 2]"), &"invalid type: sequence, expected u32")],
        [no_json("cart", &"key must be a string")],
        [unreadable("session:6fd1c0e3", &format, &"expected value at line 1 column 1")],
        [not_encoded("session:6fd1c0e3", &format, &"NaN is no JSON")],
        [tampered("session")],
        [no_cookie("session", &"the cookie is missing a name/value pair")],
        [no_request("GET", "shop cart", &"invalid uri character")],
    );
}
