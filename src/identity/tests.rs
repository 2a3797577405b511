//! Attacks on tokens, rotation of secrets, where tokens are found, roles, tickets.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use chrono::DateTime;
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NOW + seconds, 0).unwrap()
}

fn secret(letter: char) -> SecretString {
    SecretString::from(letter.to_string().repeat(32))
}

fn verifier() -> TokenVerifier {
    TokenVerifier::new(&secret('a'), None).unwrap()
}

fn sign(header: &str, claims: &str, key: &SecretString, algorithm: Algorithm) -> String {
    init();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(key.expose_secret().as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "vf-access+jwt"})
}

fn claims() -> Value {
    json!({"iss": "visionflow", "aud": "visionflow", "sub": "alice", "role": "operator", "jti": "t1",
           "iat": NOW, "exp": NOW + 600})
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name).unwrap();
    object
}

/// What our verifier says to a token with this header and these claims, well signed with our secret.
fn judge(header: &Value, claims: &Value) -> Result<Identity, TokenError> {
    let token = sign(&header.to_string(), &claims.to_string(), &secret('a'), Algorithm::HS256);
    verifier().verify(&token, at(0))
}

#[test]
fn an_issued_token_is_verified() {
    let issuer = TokenIssuer::new(&secret('a')).unwrap();
    let (token, claims) = issuer.issue("alice", Role::Operator, HOUR, at(0)).unwrap();
    let identity = verifier().verify(&token, at(0)).unwrap();
    assert_eq!((identity.subject.as_str(), identity.role), ("alice", Role::Operator));
    assert_eq!((identity.token_id, identity.expires_at), (claims.jti, at(3_600)));
    let (_, other) = issuer.issue("alice", Role::Operator, HOUR, at(0)).unwrap();
    assert_ne!(other.jti, verifier().verify(&token, at(0)).unwrap().token_id, "each token has its own id");
    assert!(judge(&header(), &self::claims()).is_ok(), "the base of the attacks below is good");
}

#[test]
fn algorithms_and_headers_are_pinned() {
    let unsupported = [
        with(header(), "alg", json!("none")),
        with(header(), "alg", json!("nOnE")),
        with(header(), "alg", json!("HS384")),
        with(header(), "alg", json!("RS256")),
        with(header(), "alg", json!("hs256")),
        without(header(), "alg"),
        with(header(), "typ", json!("JWT")),
        without(header(), "typ"),
        with(header(), "crit", json!(["exp"])),
        with(header(), "crit", json!([])),
        with(header(), "crit", json!(null)),
        with(header(), "b64", json!(false)),
        with(header(), "jku", json!("https://evil.example/keys")),
        with(header(), "jwk", json!({"kty": "oct", "k": "YWFhYQ"})),
        with(header(), "x5u", json!("https://evil.example/cert")),
        with(header(), "x5c", json!(["MIIB"])),
        with(header(), "x5t#S256", json!("x")),
        with(header(), "zip", json!("DEF")),
        with(header(), "enc", json!("A128GCM")),
    ];
    for header in unsupported {
        assert!(matches!(judge(&header, &claims()), Err(TokenError::Unsupported(_))), "{header}");
    }
    for kid in ["../../../../dev/null", "x' OR 1=1 --", ""] {
        let header = with(header(), "kid", json!(kid));
        assert_eq!(judge(&header, &claims()), Err(TokenError::UnknownKey), "{kid}");
    }
    for (name, value) in [("alg", json!(1)), ("alg", json!(["HS256"])), ("kid", json!({})), ("typ", json!(5))]
    {
        let header = with(header(), name, value);
        assert!(matches!(judge(&header, &claims()), Err(TokenError::Malformed(_))), "{header}");
    }
    let mixed_case = with(header(), "typ", json!("application/VF-Access+JWT"));
    assert!(judge(&mixed_case, &claims()).is_ok());
}

#[test]
fn signatures_must_be_ours() {
    let (head, body) = (header().to_string(), claims().to_string());
    let good = sign(&head, &body, &secret('a'), Algorithm::HS256);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let forged = [
        sign(&head, &body, &secret('b'), Algorithm::HS256),
        sign(&head, &body, &secret('a'), Algorithm::HS384),
        sign(&head, &body, &secret('a'), Algorithm::HS512),
        sign(&head, &body, &SecretString::from(""), Algorithm::HS256),
        format!("{message}."),
        message.replacen('.', ". ", 1) + "." + signature,
    ];
    for token in forged {
        let answer = verifier().verify(&token, at(0));
        assert!(
            matches!(answer, Err(TokenError::Forged | TokenError::Malformed(_))),
            "{answer:?} for {token}"
        );
    }
    // The claims of another token under this signature.
    let other =
        sign(&head, &with(claims(), "role", json!("admin")).to_string(), &secret('a'), Algorithm::HS256);
    let swapped = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    assert_eq!(verifier().verify(&swapped, at(0)), Err(TokenError::Forged));
    // Every single changed character is noticed.
    for (place, old) in good.char_indices() {
        let changed: String = good
            .char_indices()
            .map(|(i, c)| if i == place { if old == 'A' { 'B' } else { 'A' } } else { c })
            .collect();
        assert!(verifier().verify(&changed, at(0)).is_err(), "character {place}");
    }
}

#[test]
fn claims_are_required_and_typed() {
    let bad: [(&str, Option<Value>); 26] = [
        ("exp", None),
        ("exp", Some(json!("1900000000"))),
        ("exp", Some(json!(1_900_000_000.5))),
        ("exp", Some(json!(1e300))),
        ("exp", Some(json!(-1))),
        ("exp", Some(json!(null))),
        ("exp", Some(json!(u64::MAX))),
        ("iat", Some(json!("now"))),
        ("nbf", Some(json!(null))),
        ("nbf", Some(json!(-5))),
        ("iss", None),
        ("iss", Some(json!("visionflow2"))),
        ("iss", Some(json!(["visionflow"]))),
        ("aud", None),
        ("aud", Some(json!("grafana"))),
        ("aud", Some(json!([]))),
        ("aud", Some(json!(["a", 1]))),
        ("aud", Some(json!({"visionflow": 1}))),
        ("sub", None),
        ("sub", Some(json!(""))),
        ("sub", Some(json!("x".repeat(129)))),
        ("sub", Some(json!("a\nb"))),
        ("sub", Some(json!(5))),
        ("role", None),
        ("role", Some(json!("root"))),
        ("jti", None),
    ];
    for (name, value) in bad {
        let claims = match value {
            Some(value) => with(claims(), name, value),
            None => without(claims(), name),
        };
        assert!(judge(&header(), &claims).is_err(), "{claims}");
    }
    assert_eq!(judge(&header(), &with(claims(), "aud", json!("grafana"))), Err(TokenError::WrongAudience));
    assert_eq!(judge(&header(), &with(claims(), "iss", json!("keycloak"))), Err(TokenError::WrongIssuer));
    let missing = judge(&header(), &without(claims(), "exp")).unwrap_err();
    assert_eq!(missing.to_string(), "the token's claim exp is missing");
    assert!(judge(&header(), &with(claims(), "aud", json!(["grafana", "visionflow"]))).is_ok());
    assert!(judge(&header(), &with(claims(), "sub", json!("ü".repeat(128)))).is_ok());
    assert!(judge(&header(), &without(claims(), "iat")).is_ok());
}

#[test]
fn times_have_thirty_seconds_of_leeway() {
    let verdict = |name: &str, offset: i64| judge(&header(), &with(claims(), name, json!(NOW + offset)));
    assert!(verdict("exp", -29).is_ok());
    assert_eq!(verdict("exp", -30), Err(TokenError::Expired { at: at(-30) }));
    assert_eq!(verdict("exp", -100_000), Err(TokenError::Expired { at: at(-100_000) }));
    for name in ["nbf", "iat"] {
        assert!(verdict(name, 30).is_ok(), "{name}");
        assert_eq!(verdict(name, 31), Err(TokenError::NotYetValid { at: at(31) }), "{name}");
    }
}

#[test]
fn odd_shapes_are_malformed_not_fatal() {
    let good = sign(&header().to_string(), &claims().to_string(), &secret('a'), Algorithm::HS256);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let signature_bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (head, body) = message.split_once('.').unwrap();
    let raw_header = header().to_string();
    let odd = [
        "a".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        message.to_owned(),
        format!("{good}.x"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{head}=.{body}.{signature}"),
        format!("{good}="),
        format!("{message}.{}", URL_SAFE.encode(&signature_bytes)),
        format!("{message}.{}", STANDARD.encode([0xfb_u8; 32])),
        format!("{message}.{}", STANDARD_NO_PAD.encode([0xff_u8; 32])),
        format!("{}.{body}.{signature}", STANDARD.encode(&raw_header)),
        format!("{head}.{body}.{signature}.{signature}.x"),
        "Ü.Ü.Ü".to_owned(),
        sign("[\"HS256\",\"vf-access+jwt\",null]", &claims().to_string(), &secret('a'), Algorithm::HS256),
        sign("null", &claims().to_string(), &secret('a'), Algorithm::HS256),
        sign(&raw_header, "[]", &secret('a'), Algorithm::HS256),
        sign(&raw_header, "\"x\"", &secret('a'), Algorithm::HS256),
        sign(&raw_header, "{", &secret('a'), Algorithm::HS256),
        sign(&raw_header, &format!("{}x", claims()), &secret('a'), Algorithm::HS256),
        sign(
            &raw_header,
            &claims().to_string().replace('{', "{\"sub\":\"bob\","),
            &secret('a'),
            Algorithm::HS256,
        ),
        sign(&raw_header, &claims().to_string().replace('{', "{\"exp\":1,"), &secret('a'), Algorithm::HS256),
        sign(
            &raw_header.replace('{', "{\"alg\":\"none\","),
            &claims().to_string(),
            &secret('a'),
            Algorithm::HS256,
        ),
        sign(
            &raw_header.replace('{', "{\"crit\":[\"a\"],\"crit\":[],"),
            &claims().to_string(),
            &secret('a'),
            Algorithm::HS256,
        ),
    ];
    for token in odd {
        let answer = verifier().verify(&token, at(0));
        assert!(matches!(answer, Err(TokenError::Malformed(_))), "{answer:?} for {token}");
    }
    assert_eq!(verifier().verify("", at(0)), Err(TokenError::Missing));
    let huge = format!("{}.{}.{}", "a".repeat(500_000), "b".repeat(500_000), "c".repeat(43));
    assert_eq!(verifier().verify(&huge, at(0)), Err(TokenError::TooLarge { max: 8_192 }));
    let deep = sign(&raw_header, &"{\"a\":".repeat(900), &secret('a'), Algorithm::HS256);
    assert!(matches!(verifier().verify(&deep, at(0)), Err(TokenError::Malformed(_))));
}

#[test]
fn secrets_rotate() {
    let (old, new) = (secret('a'), secret('b'));
    let (before, _) = TokenIssuer::new(&old).unwrap().issue("alice", Role::Viewer, HOUR, at(0)).unwrap();
    let (after, _) = TokenIssuer::new(&new).unwrap().issue("alice", Role::Viewer, HOUR, at(0)).unwrap();
    let rotating = TokenVerifier::new(&new, Some(&old)).unwrap();
    assert!(rotating.verify(&before, at(0)).is_ok() && rotating.verify(&after, at(0)).is_ok());
    let rotated = TokenVerifier::new(&new, None).unwrap();
    assert_eq!(rotated.verify(&before, at(0)), Err(TokenError::UnknownKey));
    assert!(rotated.verify(&after, at(0)).is_ok());
    // A token that names no key may be of either, one that names the wrong key is refused.
    let nameless = sign(&header().to_string(), &claims().to_string(), &old, Algorithm::HS256);
    assert!(rotating.verify(&nameless, at(0)).is_ok());
    assert_eq!(rotated.verify(&nameless, at(0)), Err(TokenError::Forged));
    let new_id = super::issue::key_id(&new).unwrap();
    let lying = sign(
        &with(header(), "kid", json!(new_id)).to_string(),
        &claims().to_string(),
        &old,
        Algorithm::HS256,
    );
    assert_eq!(rotating.verify(&lying, at(0)), Err(TokenError::Forged));
    for shown in [format!("{rotating:?}"), format!("{:?}", TokenIssuer::new(&new).unwrap())] {
        assert!(!shown.contains("bbbb"), "{shown}");
    }
}

#[test]
fn the_issuer_has_limits() {
    let issuer = TokenIssuer::new(&secret('a')).unwrap();
    for subject in ["", "  ", "a\u{0}", &"x".repeat(129)] {
        assert!(
            matches!(issuer.issue(subject, Role::Viewer, HOUR, at(0)), Err(IssueError::Subject)),
            "{subject:?}"
        );
    }
    for ttl in [Duration::ZERO, Duration::from_millis(999), TTL_MAX + Duration::from_secs(1)] {
        assert!(
            matches!(issuer.issue("a", Role::Viewer, ttl, at(0)), Err(IssueError::Lifetime { .. })),
            "{ttl:?}"
        );
    }
    let (longest, _) = issuer.issue(&"ü".repeat(128), Role::Admin, TTL_MAX, at(0)).unwrap();
    assert!(longest.len() < TOKEN_BYTES_MAX && verifier().verify(&longest, at(0)).is_ok());
}

#[test]
fn roles_include_the_weaker_ones() {
    assert!(Role::Admin.allows(Role::Operator) && Role::Operator.allows(Role::Viewer));
    assert!(!Role::Viewer.allows(Role::Operator) && !Role::Operator.allows(Role::Admin));
    for role in Role::ALL {
        assert_eq!(role.as_str().parse(), Ok(role));
    }
    assert!("Admin".parse::<Role>().is_err());
}

#[test]
fn tokens_are_found_where_they_belong() {
    assert_eq!(from_authorization(Some("bearer  x.y.z ")), Ok("x.y.z"));
    for header in [None, Some(""), Some("Bearer"), Some("Bearer  "), Some("Basic YTpi"), Some("x.y.z")] {
        assert_eq!(from_authorization(header), Err(TokenError::Missing), "{header:?}");
    }
    assert!(matches!(from_authorization(Some("Bearer x y")), Err(TokenError::Malformed(_))));
    let carrying = format!("{SUBPROTOCOL_PREFIX}{}", URL_SAFE_NO_PAD.encode("x.y.z"));
    assert_eq!(from_subprotocols(["visionflow.v2", &format!(" {carrying}")]), Ok(Some("x.y.z".to_owned())));
    assert_eq!(from_subprotocols(["visionflow.v2"]), Ok(None));
    let broken = format!("{SUBPROTOCOL_PREFIX}a.b");
    let binary = format!("{SUBPROTOCOL_PREFIX}{}", URL_SAFE_NO_PAD.encode([0xff, 0xfe]));
    for offered in [vec![broken.as_str()], vec![&binary], vec![&carrying, &carrying]] {
        assert!(matches!(from_subprotocols(offered), Err(TokenError::Malformed(_))));
    }
    let huge = format!("{SUBPROTOCOL_PREFIX}{}", "a".repeat(20_000));
    assert!(matches!(from_subprotocols([huge.as_str()]), Err(TokenError::TooLarge { .. })));
}

fn identity(subject: &str) -> Identity {
    Identity {
        subject: subject.to_owned(),
        role: Role::Viewer,
        token_id: "t".to_owned(),
        expires_at: at(600),
    }
}

#[test]
fn a_ticket_opens_once_and_in_time() {
    let book = TicketBook::new(10);
    let ticket = book.issue(identity("alice"), [1; 16], at(0)).unwrap();
    assert_eq!((ticket.value.len(), ticket.expires_at), (22, at(30)));
    assert_eq!(book.take(&ticket.value, at(29)), Ok(identity("alice")));
    assert_eq!(book.take(&ticket.value, at(29)), Err(TicketError::Unknown));
    let late = book.issue(identity("alice"), [2; 16], at(0)).unwrap();
    assert_eq!(book.take(&late.value, at(30)), Err(TicketError::Expired { at: at(30) }));
    assert_eq!(book.take(&late.value, at(1)), Err(TicketError::Unknown), "a late use spends it too");
    for odd in ["", "x", "AQEBAQEBAQEBAQEBAQEBAQ==", "ÜÜÜÜÜÜÜÜÜÜÜ", &"A".repeat(1_000_000)] {
        assert_eq!(book.take(odd, at(0)), Err(TicketError::Unknown));
    }
    let short = Identity { expires_at: at(-20), ..identity("bob") };
    assert_eq!(book.issue(short, [3; 16], at(0)).unwrap().expires_at, at(10), "not beyond its token");
    assert_eq!(book.counts(), TicketCounts { issued: 3, taken: 1, expired: 1, refused: 0, unknown: 7 });
}

#[test]
fn a_secret_given_twice_replaces_its_ticket() {
    let book = TicketBook::new(10);
    book.issue(identity("alice"), [1; 16], at(0)).unwrap();
    let second = book.issue(identity("bob"), [1; 16], at(10)).unwrap();
    book.issue(identity("carol"), [2; 16], at(35)).unwrap();
    assert_eq!(book.take(&second.value, at(39)), Ok(identity("bob")));
    book.issue(identity("carol"), [3; 16], at(100)).unwrap();
    assert_eq!(book.counts(), TicketCounts { issued: 4, taken: 1, expired: 1, refused: 0, unknown: 0 });
}

#[test]
fn waiting_tickets_are_limited_and_make_room() {
    let book = TicketBook::new(40);
    let mut fill = Vec::new();
    for number in 0..32 {
        fill.push(book.issue(identity("alice"), [number; 16], at(0)).unwrap());
    }
    assert_eq!(book.issue(identity("alice"), [90; 16], at(0)), Err(TicketError::TooManyForSubject));
    for number in 32..40 {
        book.issue(identity("bob"), [number; 16], at(1)).unwrap();
    }
    assert_eq!(book.issue(identity("carol"), [91; 16], at(1)), Err(TicketError::Full));
    assert!(book.take(&fill[0].value, at(2)).is_ok());
    assert!(book.issue(identity("alice"), [92; 16], at(2)).is_ok(), "a used one makes room");
    assert!(book.issue(identity("carol"), [93; 16], at(30)).is_ok(), "expired ones make room");
    assert_eq!(book.counts(), TicketCounts { issued: 42, taken: 1, expired: 31, refused: 2, unknown: 0 });
}

#[test]
fn one_ticket_opens_one_of_many_racing_connections() {
    let book = TicketBook::default();
    let ticket = book.issue(identity("alice"), [7; 16], at(0)).unwrap();
    let opened = std::thread::scope(|scope| {
        let racers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| book.take(&ticket.value, at(1)).is_ok())).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).filter(|opened| *opened).count()
    });
    assert_eq!(opened, 1);
}
