//! The text of a schedule in `TRANSIENT_REPLAY`: `reader*3,writer*2,expire/14/lock:a`.

pub(super) fn written(labels: &[String]) -> String {
    let mut runs: Vec<(&String, usize)> = Vec::new();
    for label in labels {
        match runs.last_mut() {
            Some((last, count)) if *last == label => *count += 1,
            _ => runs.push((label, 1)),
        }
    }
    let runs = runs.into_iter().map(|(label, count)| {
        let escaped = label.replace('%', "%25").replace(',', "%2C").replace('*', "%2A").replace('\'', "%27");
        if count > 1 { format!("{escaped}*{count}") } else { escaped }
    });
    runs.collect::<Vec<_>>().join(",")
}

pub(super) fn read(text: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    for run in text.trim().split(',').filter(|run| !run.is_empty()) {
        let (label, count) = match run.split_once('*') {
            Some((label, count)) => (label, count.parse::<usize>().ok().filter(|count| *count <= 100_000)?),
            None => (run, 1),
        };
        let label = label.replace("%27", "'").replace("%2A", "*").replace("%2C", ",").replace("%25", "%");
        labels.extend(std::iter::repeat_n(label, count));
    }
    (!labels.is_empty()).then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_round_trip() {
        let labels = ["a", "a", "b,c", "50%*'", "a"].map(str::to_owned);
        let text = written(&labels);
        assert_eq!(text, "a*2,b%2Cc,50%25%2A%27,a");
        assert_eq!(read(&text).unwrap(), labels);
        assert_eq!(read("a*x"), None);
        assert_eq!(read(""), None);
    }
}
