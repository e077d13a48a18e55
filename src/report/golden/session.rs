use super::super::session::*;

#[test]
fn session_is_golden() {
    // `Debug` writes the name of a format first.
    let format = format_args!("Pyramid {{ secret: \"***\" }}");
    golden!(
        "session",
        [shown(&"[1, 2]"), "short"],
        [shown(&"å".repeat(300)), "long"],
        [wrong_type("cart", "u32", &shown(&"[1, 2]"))],
        [no_json("cart")],
        [unreadable("session:6fd1c0e3", &format)],
        [not_encoded("session:6fd1c0e3", &format)],
        [tampered("session")],
        [no_cookie("session")],
        [no_request("GET", "shop cart", &"invalid uri character")],
    );
}
