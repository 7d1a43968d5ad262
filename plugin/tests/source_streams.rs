//! The stream table and the transform's own must say the same of a stream.

use m365_plugin::normalize::streams::STREAMS as TRANSFORM;
use m365_plugin::streams::STREAMS as SOURCE;

#[test]
fn both_tables_say_the_same() {
    assert_eq!(SOURCE.len(), TRANSFORM.len());
    for source in SOURCE {
        let transform = TRANSFORM
            .iter()
            .find(|stream| stream.name == source.name)
            .unwrap_or_else(|| panic!("the transform doesn't know {}", source.name));
        assert_eq!(
            (source.dataset, source.vendor, source.product, source.story.unwrap_or("")),
            (transform.dataset, transform.vendor, transform.product, transform.story),
            "{}",
            source.name
        );
        assert!(source.permissions.contains(&transform.permission), "{}", source.name);
        assert!(source.api.contains(transform.source), "{}: {} and {}", source.name, source.api, transform.source);
    }
}
