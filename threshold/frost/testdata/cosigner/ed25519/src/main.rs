// One party of FROST(Ed25519, SHA-512) by the crate frost-ed25519: it reads its key, shows its commitment, signs, and combines what all
// signers made. Lines of JSON in and out, as mixed_test.go has them.
use frost_ed25519 as frost;
use frost::keys::{KeyPackage, PublicKeyPackage, SigningShare, VerifyingShare};
use frost::round1::{self, NonceCommitment, SigningCommitments};
use frost::round2::{self, SignatureShare};
use frost::{Identifier, SigningPackage, VerifyingKey};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn bytes(v: &Value) -> Result<Vec<u8>> {
    Ok(hex::decode(v.as_str().ok_or("not a string")?)?)
}

fn number(v: &Value) -> Result<u16> {
    Ok(u16::try_from(v.as_u64().ok_or("not a number")?)?)
}

// by_party reads an object whose names are party numbers.
fn by_party<T>(v: &Value, read: impl Fn(&[u8]) -> Result<T>) -> Result<BTreeMap<Identifier, T>> {
    let mut out = BTreeMap::new();
    for (party, value) in v.as_object().ok_or("not an object")? {
        out.insert(Identifier::try_from(party.parse::<u16>()?)?, read(&bytes(value)?)?);
    }
    Ok(out)
}

fn commitments(b: &[u8]) -> Result<SigningCommitments> {
    let (hiding, binding) = b.split_at(32);
    Ok(SigningCommitments::new(NonceCommitment::deserialize(hiding)?, NonceCommitment::deserialize(binding)?))
}

fn main() -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let mut next = || -> Result<Value> { Ok(serde_json::from_str(&lines.next().ok_or("no more lines")??)?) };

    let key = next()?;
    let public = PublicKeyPackage::new(
        by_party(&key["public"], |b| Ok(VerifyingShare::deserialize(b)?))?,
        VerifyingKey::deserialize(&bytes(&key["key"])?)?,
    );
    let id = Identifier::try_from(number(&key["party"])?)?;
    let share = SigningShare::deserialize(&bytes(&key["share"])?)?;
    let key = KeyPackage::new(id, share, VerifyingShare::from(share), *public.verifying_key(), number(&key["threshold"])?);
    let (nonces, own) = round1::commit(key.signing_share(), &mut rand_core::OsRng);
    let shown = [own.hiding().serialize()?, own.binding().serialize()?].concat();
    println!("{}", json!({"commitment": hex::encode(shown)}));

    let request = next()?;
    let package = SigningPackage::new(by_party(&request["commitments"], commitments)?, &bytes(&request["message"])?);
    let share = round2::sign(&package, &nonces, &key)?;
    println!("{}", json!({"share": hex::encode(share.serialize())}));

    let shares = by_party(&next()?["shares"], |b| Ok(SignatureShare::deserialize(b)?))?;
    let signature = frost::aggregate(&package, &shares, &public)?;
    println!("{}", json!({"signature": hex::encode(signature.serialize()?)}));
    Ok(())
}
