//! Reads and writes pickles of JSON values. Other values are rejected: only Python can rebuild the objects of a class.
//!
//! The opcodes are those of Python's
//! [`pickletools`](https://github.com/python/cpython/blob/v3.13.0/Lib/pickletools.py).

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

const PROTO: u8 = 0x80;
const FRAME: u8 = 0x95;
const STOP: u8 = b'.';
const MARK: u8 = b'(';
const NONE: u8 = b'N';
const NEWTRUE: u8 = 0x88;
const NEWFALSE: u8 = 0x89;
const BININT: u8 = b'J';
const BININT1: u8 = b'K';
const BININT2: u8 = b'M';
const LONG1: u8 = 0x8a;
const BINFLOAT: u8 = b'G';
const SHORT_BINUNICODE: u8 = 0x8c;
const BINUNICODE: u8 = b'X';
const EMPTY_LIST: u8 = b']';
const APPEND: u8 = b'a';
const APPENDS: u8 = b'e';
const EMPTY_TUPLE: u8 = b')';
const TUPLE1: u8 = 0x85;
const TUPLE3: u8 = 0x87;
const TUPLE: u8 = b't';
const EMPTY_DICT: u8 = b'}';
const SETITEM: u8 = b's';
const SETITEMS: u8 = b'u';
const MEMOIZE: u8 = 0x94;
const BINPUT: u8 = b'q';
const LONG_BINPUT: u8 = b'r';
const BINGET: u8 = b'h';
const LONG_BINGET: u8 = b'j';

/// Returns whether this is a pickle of protocol 2 or newer. RQ writes the newest protocol of its Python.
pub(super) fn is_pickle(data: &[u8]) -> bool {
    data.first() == Some(&PROTO)
}

/// Returns `None` if the pickle holds anything that JSON can't express, or the same list or dictionary twice.
pub(super) fn read(pickle: &[u8]) -> Option<Value> {
    let mut reader = Reader { rest: pickle, ..Reader::default() };
    while !reader.step()? {}
    reader.stack.pop()
}

/// Returns the text that a pickled tuple begins with. The rest is not read.
pub(super) fn first_text(pickle: &[u8]) -> Option<String> {
    let mut reader = Reader { rest: pickle, ..Reader::default() };
    while reader.stack.is_empty() {
        reader.step()?;
    }
    reader.stack.pop()?.as_str().map(str::to_owned)
}

#[derive(Default)]
struct Reader<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<usize>,
    /// The values that can be referred to again. Only texts are supported: a list or dictionary is not complete when it
    /// is memoized.
    memo: HashMap<usize, Option<Value>>,
}

impl<'a> Reader<'a> {
    /// Executes one instruction, and returns `true` after the last one.
    fn step(&mut self) -> Option<bool> {
        let value = match self.number(1)?.try_into().ok()? {
            STOP => return Some(true),
            PROTO => return self.take(1).map(|_| false),
            FRAME => return self.take(8).map(|_| false),
            MARK => {
                self.marks.push(self.stack.len());
                return Some(false);
            }
            NONE => Value::Null,
            NEWTRUE => true.into(),
            NEWFALSE => false.into(),
            BININT1 => self.number(1)?.into(),
            BININT2 => self.number(2)?.into(),
            BININT => self.integer(4)?,
            LONG1 => {
                let length = self.number(1)?;
                self.integer(length)?
            }
            BINFLOAT => Value::Number(Number::from_f64(f64::from_be_bytes(self.take(8)?.try_into().ok()?))?),
            SHORT_BINUNICODE => self.text(1)?,
            BINUNICODE => self.text(4)?,
            EMPTY_LIST | EMPTY_TUPLE => Value::Array(Vec::new()),
            EMPTY_DICT => Value::Object(Map::new()),
            TUPLE => self.since_mark()?.into(),
            code @ TUPLE1..=TUPLE3 => self.last(usize::from(code - TUPLE1) + 1)?.into(),
            BINGET => self.memoized(1)?,
            LONG_BINGET => self.memoized(4)?,
            code => return self.change(code).map(|()| false),
        };
        self.stack.push(value);
        Some(false)
    }

    /// Executes an instruction that pushes no value.
    fn change(&mut self, code: u8) -> Option<()> {
        match code {
            MEMOIZE => self.memoize(self.memo.len()),
            BINPUT => {
                let number = self.number(1)?;
                self.memoize(number)
            }
            LONG_BINPUT => {
                let number = self.number(4)?;
                self.memoize(number)
            }
            APPEND | APPENDS => {
                let values = if code == APPEND { self.last(1)? } else { self.since_mark()? };
                self.stack.last_mut()?.as_array_mut()?.extend(values);
                Some(())
            }
            SETITEM | SETITEMS => {
                let mut values = if code == SETITEM { self.last(2)? } else { self.since_mark()? }.into_iter();
                let object = self.stack.last_mut()?.as_object_mut()?;
                while let Some(key) = values.next() {
                    let Value::String(key) = key else { return None };
                    object.insert(key, values.next()?);
                }
                Some(())
            }
            _ => None,
        }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads an unsigned number of one to four bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        let mut number = [0; size_of::<usize>()];
        number.get_mut(..bytes)?.copy_from_slice(self.take(bytes)?);
        Some(usize::from_le_bytes(number))
    }

    /// Reads a signed number. Beyond 64 bits, it becomes the nearest `f64`.
    fn integer(&mut self, bytes: usize) -> Option<Value> {
        let taken = self.take(bytes)?;
        let is_negative = taken.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut number = [if is_negative { 0xff } else { 0 }; 16];
        number.get_mut(..bytes)?.copy_from_slice(taken);
        let number = i128::from_le_bytes(number);
        #[expect(clippy::cast_precision_loss, reason = "it is the nearest one")]
        let nearest = || number as f64;
        Some(match (i64::try_from(number), u64::try_from(number)) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => nearest().into(),
        })
    }

    fn text(&mut self, bytes_of_length: usize) -> Option<Value> {
        let length = self.number(bytes_of_length)?;
        String::from_utf8(self.take(length)?.to_vec()).ok().map(Value::from)
    }

    fn since_mark(&mut self) -> Option<Vec<Value>> {
        let mark = self.marks.pop()?;
        (mark <= self.stack.len()).then(|| self.stack.split_off(mark))
    }

    fn last(&mut self, count: usize) -> Option<Vec<Value>> {
        Some(self.stack.split_off(self.stack.len().checked_sub(count)?))
    }

    fn memoize(&mut self, number: usize) -> Option<()> {
        let value = self.stack.last()?;
        self.memo.insert(number, value.is_string().then(|| value.clone()));
        Some(())
    }

    fn memoized(&mut self, bytes_of_number: usize) -> Option<Value> {
        let number = self.number(bytes_of_number)?;
        self.memo.get(&number)?.clone()
    }
}

/// Writes the pickle of a tuple, in protocol 2.
pub(super) fn write_tuple(values: &[Value]) -> Vec<u8> {
    let mut pickle = vec![PROTO, 2, MARK];
    for value in values {
        write(value, &mut pickle);
    }
    pickle.extend([TUPLE, STOP]);
    pickle
}

fn write(value: &Value, pickle: &mut Vec<u8>) {
    match value {
        Value::Null => pickle.push(NONE),
        Value::Bool(true) => pickle.push(NEWTRUE),
        Value::Bool(false) => pickle.push(NEWFALSE),
        Value::Number(number) => {
            let whole = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
            if let Some(whole) = whole {
                // 64 bits and one byte for the sign.
                pickle.extend([LONG1, 9]);
                pickle.extend(&whole.to_le_bytes()[..9]);
            } else {
                pickle.push(BINFLOAT);
                pickle.extend(number.as_f64().unwrap_or_default().to_be_bytes());
            }
        }
        Value::String(text) => write_text(text, pickle),
        Value::Array(values) => {
            pickle.extend([EMPTY_LIST, MARK]);
            for value in values {
                write(value, pickle);
            }
            pickle.push(APPENDS);
        }
        Value::Object(pairs) => {
            pickle.extend([EMPTY_DICT, MARK]);
            for (key, value) in pairs {
                write_text(key, pickle);
                write(value, pickle);
            }
            pickle.push(SETITEMS);
        }
    }
}

fn write_text(text: &str, pickle: &mut Vec<u8>) {
    let length = u32::try_from(text.len()).expect("a text of less than 4 GiB");
    pickle.push(BINUNICODE);
    pickle.extend(length.to_le_bytes());
    pickle.extend(text.as_bytes());
}
