use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{REPLY, Spare};
use crate::sync::poll_until;
use crate::tap::lane::End;
use crate::tap::stream::Stream;

#[test]
fn a_close_after_the_reply_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    for is_closed in [false, true] {
        let client = mio::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        let (mut server, _) = listener.accept().expect("accept");
        let mut end = End::new(Stream::Tcp(client));
        end.is_writable = true;
        let mut spare = Spare::reset(end).expect("RESET is sent");
        server.write_all(REPLY).expect("reply");
        let _open = (!is_closed).then_some(server);
        let Stream::Tcp(socket) = &spare.server.stream else { panic!("not TCP") };
        let deadline = Instant::now() + Duration::from_secs(10);
        let arrived = || socket.peek(&mut [0; 64]).is_ok_and(|length| length == REPLY.len()).then_some(());
        poll_until(deadline, Duration::from_millis(1), arrived).expect("the reply arrives");
        assert_eq!((spare.read(&mut [0; 64]), spare.is_reset()), (!is_closed, true));
    }
}
