//! Fields of protobuf messages that lie still: what the wire type tells of each, in order.
//!
//! In: a message. Out: values that borrow from it, or why it is none. Knows no message of its own.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::DecodeError;

/// A field's value, as far as its wire type tells.
pub(crate) enum Field<'a> {
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(wrong_type("bytes")),
        }
    }
}

/// What is said of a field that is not what its number promises.
#[cold]
pub(super) fn wrong_type(expected: &str) -> DecodeError {
    DecodeError::Protobuf(format!("wrong wire type, expected {expected}"))
}

/// What is said of bytes that are longer than their message.
#[cold]
pub(super) fn cut_off() -> DecodeError {
    DecodeError::Protobuf("unexpected EOF".to_owned())
}

/// What prost says.
#[cold]
pub(super) fn refused(why: prost::DecodeError) -> DecodeError {
    DecodeError::Protobuf(why.to_string())
}

/// Walks over the fields of a message; unknown ones reach `each` too, and may be ignored.
pub(crate) fn fields<'a>(
    mut body: &'a [u8],
    mut each: impl FnMut(u32, Field<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while !body.is_empty() {
        let (number, field) = next_field(&mut body)?;
        each(number, field)?;
    }
    Ok(())
}

fn next_field<'a>(body: &mut &'a [u8]) -> Result<(u32, Field<'a>), DecodeError> {
    let (number, wire_type) = decode_key(body).map_err(refused)?;
    let field = match wire_type {
        WireType::LengthDelimited => {
            let length = decode_varint(body).map_err(refused)?;
            let cut = usize::try_from(length).ok().and_then(|length| body.split_at_checked(length));
            let (bytes, rest) = cut.ok_or_else(cut_off)?;
            *body = rest;
            Field::Bytes(bytes)
        }
        _ => {
            skip_field(wire_type, number, body, DecodeContext::default()).map_err(refused)?;
            Field::Other
        }
    };
    Ok((number, field))
}
