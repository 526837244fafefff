//! Against the vectors of the official 0G SDK, against a second, recursive definition of both
//! trees, and against every forgery we could think of.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};
use proptest::prelude::*;
use serde_json::Value;

use super::segment::empty_root;
use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../vectors/zg_roots.json")).expect("vectors parse")
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + 7) as u8).collect()
}

fn hash(value: &Value) -> B256 {
    value.as_str().expect("a hash").parse().expect("hex")
}

fn full_tree(data: &[u8]) -> FileTree {
    let mut builder = FileTreeBuilder::default().with_segment_roots();
    builder.update(data);
    builder.finish().expect("not empty")
}

/// The definition, as a recursion and with nothing shared with the code under test.
fn reference_root(leaves: &[B256]) -> B256 {
    match leaves {
        [] => panic!("no leaves"),
        [leaf] => *leaf,
        _ => {
            let middle = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(middle);
            keccak256([reference_root(left).0, reference_root(right).0].concat())
        }
    }
}

fn reference_file_root(data: &[u8]) -> B256 {
    let chunks = data.len().div_ceil(256);
    let unit = if chunks.is_power_of_two() { 1 } else { (chunks.next_power_of_two() / 16).max(1) };
    let mut padded = data.to_vec();
    padded.resize(chunks.div_ceil(unit) * unit * 256, 0);
    let leaves: Vec<B256> = padded.chunks(256).map(keccak256).collect();
    reference_root(&leaves)
}

#[test]
fn official_vectors() {
    let vectors = vectors();
    for case in vectors["roots"].as_array().expect("a list") {
        let size = case["size"].as_u64().expect("a size") as usize;
        let result = file_tree(&pattern(size));
        if case["root"].is_null() {
            assert_eq!(result, Err(MerkleError::Empty));
            continue;
        }
        let tree = result.expect("not empty");
        assert_eq!(tree.root, hash(&case["root"]), "root of {size}");
        assert_eq!(tree.submission_identity(), hash(&case["identity"]), "identity of {size}");
        let nodes: Vec<SubmissionNode> = serde_json::from_value(case["nodes"].clone()).expect("nodes");
        assert_eq!(tree.nodes, nodes, "nodes of {size}");
        assert!((1..=4).contains(&tree.nodes.len()));
        let geometry = tree.geometry;
        let sizes = ["numChunks", "paddedChunks", "numSegments", "numSegmentsPadded"];
        let ours = [
            geometry.chunks(),
            geometry.padded_chunks(),
            geometry.data_segments(),
            geometry.padded_segments(),
        ];
        for (name, ours) in sizes.iter().zip(ours) {
            assert_eq!(Some(ours), case[name].as_u64(), "{name} of {size}");
        }
    }
}

#[test]
fn official_encrypted_and_fragment_roots() {
    let vectors = vectors();
    let fragments = &vectors["encryption_and_proofs"]["fragments"];
    let data = pattern(fragments["size"].as_u64().expect("a size") as usize);
    let step = fragments["fragmentSize"].as_u64().expect("a size") as usize;
    let expected = fragments["roots"].as_array().expect("a list");
    assert_eq!(data.chunks(step).count(), expected.len());
    for (part, case) in data.chunks(step).zip(expected) {
        assert_eq!(file_tree(part).expect("not empty").root, hash(&case["root"]));
    }
    let v2 = &vectors["encryption_and_proofs"]["v2"];
    let bytes = alloy_primitives::hex::decode(v2["encrypted"].as_str().expect("hex")).expect("hex");
    assert_eq!(file_tree(&bytes).expect("not empty").root, hash(&v2["root"]));
}

#[test]
fn official_proofs() {
    let vectors = vectors();
    for name in ["proofs", "proofs2"] {
        let set = &vectors["encryption_and_proofs"][name];
        let data = pattern(set["size"].as_u64().expect("a size") as usize);
        let tree = full_tree(&data);
        let roots = tree.segment_roots.as_ref().expect("asked for");
        assert_eq!(Some(roots.len() as u64), set["leaves"].as_u64());
        for item in set["items"].as_array().expect("a list") {
            let index = item["index"].as_u64().expect("an index");
            let ours = SegmentProof::create(roots, index).expect("in range");
            let json = serde_json::json!({"lemma": item["lemma"], "path": item["path"]});
            assert_eq!(serde_json::to_value(&ours).expect("json"), json, "{name} {index}");
            ours.verify_root(tree.root, &tree.geometry, index, roots[index as usize]).expect("valid");
            if index < tree.geometry.data_segments() {
                let segment = data.chunks(SEGMENT_BYTES).nth(index as usize).expect("data");
                ours.verify(&Scalar, tree.root, &tree.geometry, index, segment).expect("valid");
            }
        }
    }
}

#[test]
fn empty_chunk_hash_is_what_it_says() {
    assert_eq!(empty_root(1), keccak256([0; 256]).0);
    for count in 1..70 {
        let leaves = vec![keccak256([0; 256]); count as usize];
        assert_eq!(empty_root(count), reference_root(&leaves).0, "{count}");
    }
}

#[test]
fn forged_proof_of_one_element_is_refused() {
    let data = pattern(3 * SEGMENT_BYTES);
    let tree = full_tree(&data);
    let evil = pattern(SEGMENT_BYTES - 1);
    let evil = [&evil[..], &[0xee]].concat();
    let lemma = vec![segment_root(&Scalar, &tree.geometry, 0, &evil).expect("full")];
    let forged = SegmentProof { lemma, path: vec![] };
    let verdict = forged.verify(&Scalar, tree.root, &tree.geometry, 0, &evil);
    assert_eq!(verdict, Err(MerkleError::ProofShape));
    // The same for a file of one segment, where the shape is right and only the root is wrong.
    let one = file_tree(&data[..SEGMENT_BYTES]).expect("not empty");
    let verdict = forged.verify(&Scalar, one.root, &one.geometry, 0, &evil);
    assert_eq!(verdict, Err(MerkleError::RootMismatch));
}

#[test]
fn proof_of_another_position_length_or_file_is_refused() {
    let data = pattern(5 * SEGMENT_BYTES + 17);
    let tree = full_tree(&data);
    let roots = tree.segment_roots.as_ref().expect("asked for");
    let segments: Vec<&[u8]> = data.chunks(SEGMENT_BYTES).collect();
    for (i, segment) in segments.iter().enumerate() {
        for j in 0..roots.len() as u64 {
            let proof = SegmentProof::create(roots, j).expect("in range");
            let verdict = proof.verify(&Scalar, tree.root, &tree.geometry, i as u64, segment);
            assert_eq!(verdict.is_ok(), i as u64 == j, "segment {i} with the proof of {j}");
        }
    }
    let proof = SegmentProof::create(roots, 5).expect("in range");
    let short = proof.verify(&Scalar, tree.root, &tree.geometry, 5, &segments[5][..16]);
    assert!(matches!(short, Err(MerkleError::SegmentLength { expected: 17, actual: 16, .. })));
    let beyond = proof.verify(&Scalar, tree.root, &tree.geometry, 6, &[]);
    assert!(matches!(beyond, Err(MerkleError::OutOfRange { .. })));
    let other = file_tree(&data[1..]).expect("not empty");
    assert!(proof.verify(&Scalar, other.root, &tree.geometry, 5, segments[5]).is_err());
}

#[test]
fn a_root_over_a_padding_that_is_not_empty_is_refused() {
    // Seventeen segments pad to eighteen; this file fills the eighteenth and says it is shorter.
    let long = pattern(18 * SEGMENT_BYTES);
    let tree = full_tree(&long);
    let roots = tree.segment_roots.as_ref().expect("asked for");
    let told = Geometry::new(17 * SEGMENT_BYTES as u64).expect("not empty");
    assert_eq!(told.padded_segments(), 18);
    let proof = SegmentProof::create(roots, 16).expect("in range");
    let segment = long.chunks(SEGMENT_BYTES).nth(16).expect("data");
    let verdict = proof.verify(&Scalar, tree.root, &told, 16, segment);
    assert_eq!(verdict, Err(MerkleError::PaddingNotEmpty));
    let last = SegmentProof::create(roots, 17).expect("in range");
    let verdict = last.verify_root(tree.root, &told, 17, roots[17]);
    assert_eq!(verdict, Err(MerkleError::PaddingNotEmpty));
}

#[test]
fn every_bit_of_a_segment_proof_counts() {
    let data = pattern(6 * SEGMENT_BYTES);
    let tree = full_tree(&data);
    let roots = tree.segment_roots.as_ref().expect("asked for");
    for index in [0, 3, 5] {
        let good = SegmentProof::create(roots, index).expect("in range");
        let check =
            |proof: &SegmentProof| proof.verify_root(tree.root, &tree.geometry, index, roots[index as usize]);
        assert_eq!(check(&good), Ok(()));
        for element in 0..good.lemma.len() {
            for bit in 0..256 {
                let mut bad = good.clone();
                bad.lemma[element].0[bit / 8] ^= 1 << (bit % 8);
                assert!(check(&bad).is_err(), "element {element} bit {bit}");
            }
            let mut bad = good.clone();
            bad.lemma.remove(element);
            assert_eq!(check(&bad), Err(MerkleError::ProofShape));
        }
        for step in 0..good.path.len() {
            let mut bad = good.clone();
            bad.path[step] ^= true;
            assert_eq!(check(&bad), Err(MerkleError::ProofShape));
            bad.path.remove(step);
            assert_eq!(check(&bad), Err(MerkleError::ProofShape));
        }
    }
}

#[test]
fn lengths_at_the_edges() {
    assert_eq!(Geometry::new(0), Err(MerkleError::Empty));
    let most = Geometry::new(Geometry::MAX_BYTES).expect("allowed");
    assert_eq!(most.padded_chunks(), 1 << 52);
    let bytes = Geometry::MAX_BYTES + 1;
    assert_eq!(Geometry::new(bytes), Err(MerkleError::TooLong { bytes }));
    assert_eq!(Geometry::new(bytes - 1).expect("allowed").segment_bytes(u64::MAX), 0);
    assert_eq!(tree_root(&[]), Err(MerkleError::Empty));
    assert_eq!(prove(&[B256::ZERO], 1), Err(MerkleError::OutOfRange { index: 1, count: 1 }));
}

fn leaves(count: usize) -> Vec<B256> {
    (0..count as u64).map(|i| keccak256(i.to_be_bytes())).collect()
}

#[test]
fn binary_tree_is_its_definition() {
    for count in (1..70).chain([1023, 1024, 1025, 2047, 2048, 3001]) {
        let leaves = leaves(count);
        let root = tree_root(&leaves).expect("not empty");
        assert_eq!(root, reference_root(&leaves), "{count}");
        for index in [0, count / 3, count / 2, count - 1] {
            let proof = prove(&leaves, index as u64).expect("in range");
            verify(index as u64, count as u64, leaves[index], &proof, root).expect("valid");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_slicing_gives_the_same_tree(
        len in 1..3 * SEGMENT_BYTES,
        cuts in proptest::collection::vec(1..SEGMENT_BYTES + 300, 1..12),
        seed: u8,
    ) {
        let data: Vec<u8> = (0..len).map(|i| ((i / 3) as u8).wrapping_mul(seed | 1)).collect();
        let mut builder = FileTreeBuilder::default().with_segment_roots();
        let mut rest = &data[..];
        for cut in cuts.iter().cycle() {
            let (part, tail) = rest.split_at(rest.len().min(*cut));
            builder.update(part);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        let tree = builder.finish().expect("not empty");
        prop_assert_eq!(&tree, &full_tree(&data));
        prop_assert_eq!(tree.root, reference_file_root(&data));
        let roots = tree.segment_roots.expect("asked for");
        prop_assert_eq!(fold_segment_roots(Scalar, &tree.geometry, &roots), Ok(tree.root));
        prop_assert!(fold_segment_roots(Scalar, &tree.geometry, &roots[1..]).is_err());
        for (index, segment) in data.chunks(SEGMENT_BYTES).enumerate() {
            let root = segment_root(&Scalar, &tree.geometry, index as u64, segment);
            prop_assert_eq!(root, Ok(roots[index]));
        }
    }

    #[test]
    fn binary_proofs_hold_for_one_leaf_at_one_place(
        count in 1usize..200, at: prop::sample::Index, bit in 0usize..256, extra: [u8; 32],
    ) {
        let leaves = leaves(count);
        let root = tree_root(&leaves).expect("not empty");
        let index = at.index(count);
        let (i, n, leaf) = (index as u64, count as u64, leaves[index]);
        let proof = prove(&leaves, i).expect("in range");
        prop_assert_eq!(verify(i, n, leaf, &proof, root), Ok(()));
        let flip = |hash: &mut B256| hash.0[bit / 8] ^= 1 << (bit % 8);
        let mut bad = leaf;
        flip(&mut bad);
        prop_assert!(verify(i, n, bad, &proof, root).is_err());
        for element in 0..proof.len() {
            let mut bad = proof.clone();
            flip(&mut bad[element]);
            prop_assert!(verify(i, n, leaf, &bad, root).is_err());
        }
        for other in (0..n).filter(|other| *other != i) {
            prop_assert!(verify(other, n, leaf, &proof, root).is_err());
        }
        let longer = [&proof[..], &[B256::from(extra)]].concat();
        prop_assert!(verify(i, n, leaf, &longer, root).is_err());
        prop_assert!(verify(n, n, leaf, &proof, root).is_err());
        if let Some((_, shorter)) = proof.split_last() {
            prop_assert!(verify(i, n, leaf, shorter, root).is_err());
        }
    }

    #[test]
    fn geometry_follows_the_contract(bytes in 1u64..1 << 40) {
        let geometry = Geometry::new(bytes).expect("allowed");
        let (chunks, padded) = (geometry.chunks(), geometry.padded_chunks());
        prop_assert!(padded >= chunks && padded.count_ones() <= 4);
        prop_assert!(padded - chunks <= chunks / 8);
        let high = padded.ilog2();
        prop_assert!(high - padded.trailing_zeros() < 4, "nodes are at most 4 heights apart");
        // Flow refuses a length at or below `lastCapacity`.
        let last = if padded < 16 { padded - 1 } else if padded.is_power_of_two() {
            padded - padded / 16
        } else {
            padded - (1 << (high - 3))
        };
        prop_assert!(bytes > last * 256 && bytes <= padded * 256);
    }
}
