//! Signatures of AWS, version 4, worked out anew from its description, to judge those that the gateway makes.

use sha2::{Digest as _, Sha256};

/// A request as the server sees it.
pub(crate) struct Seen<'r> {
    pub(crate) method: &'r str,
    pub(crate) path: &'r str,
    pub(crate) query: &'r str,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: &'r [u8],
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > 64 { sha256(key) } else { key.to_vec() };
    block.resize(64, 0);
    let with = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
    sha256(&[with(0x5c), sha256(&[with(0x36), message.to_vec()].concat())].concat())
}

/// The signature that a request must have, by what its `Authorization` says about itself.
pub(crate) fn expected(seen: &Seen<'_>, authorization: &str, secret: &str) -> String {
    let part = |name: &str| {
        let rest = authorization.split_once(&format!("{name}=")).expect(name).1;
        rest.split_once(',').map_or(rest, |(part, _)| part).to_owned()
    };
    let header = |name: &str| {
        let found = seen.headers.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("{name} is signed and not there")).1.trim().to_owned()
    };
    let (scope, signed) = (part("Credential").split_once('/').expect("a scope").1.to_owned(), part("SignedHeaders"));
    let headers: String = signed.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let pairs = seen.query.split('&').filter(|pair| !pair.is_empty());
    let whole = |pair: &str| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") };
    let mut pairs: Vec<String> = pairs.map(whole).collect();
    pairs.sort_unstable();
    // Everywhere but in S3, what is encoded in a path is encoded once more.
    let (path, query, body) = (seen.path.replace('%', "%25"), pairs.join("&"), hex(&sha256(seen.body)));
    let canonical = format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{body}", seen.method);
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", header("x-amz-date"), hex(&sha256(canonical.as_bytes())));
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    hex(&hmac(&key, text.as_bytes()))
}

/// Two vectors of AWS's own suite: `get-vanilla` and `get-vanilla-query-order-key-case`.
#[test]
fn the_judge_knows_the_law() {
    let check = |query: &str, want: &str| {
        let headers = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let seen = Seen { method: "GET", path: "/", query, headers, body: b"" };
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                             SignedHeaders=host;x-amz-date, Signature=x";
        assert_eq!(expected(&seen, authorization, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), want, "{query}");
    };
    check("", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    check("Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}
