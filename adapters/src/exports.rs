//! The addresses of links to archives: the front door's own, signed, so that nobody can guess one.

use domain::{
    ports::{Exports, Unavailable},
    world::{LinkId, WorldId},
};

use crate::secret::{Secret, random_hex};

const FOLLOW: &str = "follow a link to an archive";

/// Links that lead to the front door.
#[derive(Debug, Clone)]
pub struct FrontDoorLinks {
    /// How people reach the front door: scheme, host and port, without a slash at the end; nothing where it is not known.
    pub url: Option<String>,
    /// What links are signed with.
    pub secret: Secret,
}

impl Exports for FrontDoorLinks {
    fn url(&self, world: &WorldId, link: &LinkId) -> Result<String, Unavailable> {
        let unknown =
            || Unavailable("where people reach this Dormouse is not known: set its public URL".into());
        let url = self.url.as_ref().ok_or_else(unknown)?;
        Ok(format!("{url}/x/{world}/{link}?signature={}", signature(&self.secret, world, link)))
    }
}

/// Tells whether `given` is the signature of the link.
pub(crate) fn is_signed(secret: &Secret, world: &WorldId, link: &LinkId, given: &str) -> bool {
    secret.verify(FOLLOW, &[world.as_str(), link.as_str()], given)
}

fn signature(secret: &Secret, world: &WorldId, link: &LinkId) -> String {
    secret.sign(FOLLOW, &[world.as_str(), link.as_str()])
}

/// Returns an id never used before.
pub fn fresh_id() -> WorldId {
    // 80 random bits: no two ever meet. The text is made of digits and a to f, which an id allows.
    let id = format!("w-{}", random_hex::<10>());
    WorldId::parse(&id).unwrap_or_else(|error| unreachable!("{id}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_known_again_and_no_other() {
        let secret = Secret::new([7; 32]);
        let links = FrontDoorLinks { url: Some("https://door.example".into()), secret: secret.clone() };
        let (world, link, other) = ("w1".parse().unwrap(), "l1".parse().unwrap(), "l2".parse().unwrap());
        let url = links.url(&world, &link).unwrap();
        let (address, given) = url.split_once("?signature=").unwrap();
        assert_eq!(address, "https://door.example/x/w1/l1");
        assert!(is_signed(&secret, &world, &link, given));
        assert!(!is_signed(&secret, &world, &other, given));
        assert!(!is_signed(&Secret::new([8; 32]), &world, &link, given));
        assert!(FrontDoorLinks { url: None, secret }.url(&world, &link).is_err());
    }

    #[test]
    fn ids_differ() {
        assert_ne!(fresh_id(), fresh_id());
    }
}
