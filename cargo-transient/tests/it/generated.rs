//! `man` and `completions`.

use std::process::Command;

use crate::program::{Ended, PROGRAM, Program};

#[test]
fn bash_completes() {
    let script = r#"
eval "$("$0" completions bash)"
set -- $(complete -p cargo-transient)
while [ "$1" != -F ]; do shift || exit; done
for words in 'ex' 'exec --pub' 'exec --provider do'; do
    COMP_WORDS=(cargo-transient $words) COMPREPLY=()
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    "$2" cargo-transient "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[@]}"
done"#;
    let output = Command::new("bash").args(["-c", script, PROGRAM]).output().expect("bash");
    Ended::of(&output).assert_quiet(0, "exec\n--publish\ndownload\n");
}

#[test]
fn other_shells_and_the_manual_are_there() {
    for (arguments, start, word) in [
        (&["completions", "zsh"][..], "#compdef cargo-transient\n", "--publish"),
        (&["completions", "fish"], "", "complete -c cargo-transient "),
        (&["man"], ".ie", ".SH EXEC\n"),
    ] {
        let ended = Program::new(arguments).run();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        assert!(ended.stdout.starts_with(start) && ended.stdout.contains(word), "{ended:?}");
    }
    assert_eq!(Program::new(["completions", "csh"]).run().code, Some(2));
}
