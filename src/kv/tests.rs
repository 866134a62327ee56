use super::*;

fn filled(n: usize, seqs: &[SeqId]) -> Cells {
    let mut c = Cells::new(128, 4);
    for i in 0..n {
        c.place(i as Pos, seqs).unwrap();
    }
    c
}

/// The visible cells of a token, by the definition.
fn seen(c: &Cells, seq: SeqId, pos: Pos) -> Vec<usize> {
    (0..c.len()).filter(|&i| c.seqs[i].has(seq) && c.pos[i] <= pos).collect()
}

fn mask(c: &Cells, seq: SeqId, pos: Pos) -> Vec<usize> {
    let mut words = [u64::MAX; 2];
    c.mask_row(seq, pos, c.n_kv(), &mut words);
    let used = c.n_kv().div_ceil(64) * 64;
    (0..used).filter(|&i| words[i / 64] >> (i % 64) & 1 == 1).collect()
}

#[test]
fn a_token_sees_its_sequence_up_to_itself() {
    let mut c = filled(70, &[0]);
    for i in 0..30 {
        c.place(i, &[1]).unwrap();
    }
    for (seq, pos) in [(0, 0), (0, 63), (0, 64), (0, 69), (1, 0), (1, 29), (2, 5)] {
        assert_eq!(mask(&c, seq, pos), seen(&c, seq, pos), "sequence {seq} at {pos}");
    }
    assert_eq!(mask(&c, 0, 69).len(), 70);
    assert_eq!(mask(&c, 1, 3), [70, 71, 72, 73]);
}

#[test]
fn removal_frees_cells_which_are_used_again() {
    let mut c = filled(100, &[0]);
    c.seq_rm(0, 90..Pos::MAX).unwrap();
    assert_eq!((c.n_used(), c.n_kv(), c.n_free()), (90, 90, 38));
    c.seq_rm(0, 10..20).unwrap();
    assert_eq!((c.n_used(), c.n_kv()), (80, 90));
    assert_eq!(c.place(90, &[0]), Some(90), "after the last one");
    assert_eq!((c.place(0, &[1]), c.place(1, &[1])), (Some(10), Some(11)), "no block is free");
    assert_eq!(mask(&c, 0, 89).len(), 80);
    let mut alone = Cells::new(128, 1);
    (0..100).for_each(|pos| assert!(alone.place(pos, &[0]).is_some()));
    alone.seq_rm(0, 10..20).unwrap();
    assert_eq!(alone.place(100, &[0]), Some(10), "one sequence has no use for blocks");
    c.clear();
    assert_eq!((c.n_used(), c.n_kv(), c.place(0, &[0])), (0, 0, Some(0)));
}

#[test]
fn sequences_fill_blocks_of_their_own() {
    let mut c = Cells::new(250, 8);
    for pos in 0..70 {
        assert_eq!(c.place(pos, &[0]), Some(if pos < 64 { 0 } else { 64 } + pos as usize));
        assert_eq!(c.place(pos, &[3, 1]), Some(if pos < 64 { 64 } else { 128 } + pos as usize));
    }
    c.clear();
    // Going back goes back to the same cells, whoever has come meanwhile.
    for (pos, seq, cell) in [(0, 2, 0), (1, 2, 1), (2, 2, 2), (0, 5, 64), (0, 6, 128)] {
        assert_eq!(c.place(pos, &[seq]), Some(cell), "{seq} at {pos}");
    }
    c.seq_rm(2, 1..Pos::MAX).unwrap();
    assert_eq!(c.place(1, &[2]), Some(1));
    let cell = c.place(2, &[2]).unwrap();
    c.unplace(cell);
    assert_eq!(c.place(2, &[2]), Some(cell));
    // A copy goes on in a block of its own when the cell after it is taken, then in any.
    c.seq_cp(2, 4, 0..Pos::MAX).unwrap();
    assert_eq!((c.place(3, &[2]), c.place(3, &[4]), c.place(0, &[7])), (Some(3), Some(192), Some(4)));
    c.seq_keep(7).unwrap();
    assert_eq!((c.place(1, &[7]), c.place(0, &[0])), (Some(5), Some(64)));
}

#[test]
fn copies_share_cells_until_both_are_gone() {
    let mut c = filled(10, &[0]);
    c.seq_cp(0, 2, 0..5).unwrap();
    assert_eq!(c.n_used(), 10);
    assert_eq!(mask(&c, 2, 100), [0, 1, 2, 3, 4]);
    c.seq_rm(0, 0..Pos::MAX).unwrap();
    assert_eq!((c.n_used(), c.seq_range(2).unwrap(), c.seq_range(0).unwrap()), (5, Some((0, 4)), None));
    c.seq_cp(2, 1, 0..Pos::MAX).unwrap();
    c.seq_keep(1).unwrap();
    assert_eq!((c.n_used(), c.seq_range(2).unwrap(), c.seq_range(1).unwrap()), (5, None, Some((0, 4))));
    c.seq_keep(3).unwrap();
    assert_eq!((c.n_used(), c.n_kv()), (0, 0));
}

#[test]
fn shifts_add_up_and_are_taken_once() {
    let mut c = filled(10, &[0]);
    c.seq_rm(0, 2..5).unwrap();
    c.seq_add(0, 5..Pos::MAX, -3).unwrap();
    c.seq_add(0, 0..Pos::MAX, 1).unwrap();
    assert_eq!(c.seq_range(0).unwrap(), Some((1, 7)));
    let mut shifts = vec![0; 128];
    assert!(c.has_shifts());
    c.take_shifts(&mut shifts);
    assert_eq!(shifts[..10], [1, 1, 0, 0, 0, -2, -2, -2, -2, -2]);
    assert!(!c.has_shifts());
    c.take_shifts(&mut shifts);
    assert!(shifts.iter().all(|&s| s == 0));
}

#[test]
fn divided_positions() {
    let mut c = filled(10, &[0]);
    c.seq_div(0, 4..9, 2).unwrap();
    assert_eq!(c.pos[..10], [0, 1, 2, 3, 2, 2, 3, 3, 4, 9]);
    let mut shifts = vec![0; 128];
    c.take_shifts(&mut shifts);
    assert_eq!(shifts[..10], [0, 0, 0, 0, -2, -3, -3, -4, -4, 0]);
    assert!(c.seq_div(0, 0..9, 0).is_err() && c.seq_div(0, 0..9, -1).is_err());
    c.seq_div(0, 0..Pos::MAX, 1).unwrap();
    assert!(!c.has_shifts(), "nothing moved");
}

#[test]
fn tokens_before_position_zero_are_dropped() {
    let mut c = filled(10, &[0]);
    c.seq_add(0, 0..Pos::MAX, -4).unwrap();
    assert_eq!((c.n_used(), c.seq_range(0).unwrap()), (6, Some((0, 5))));
}

#[test]
fn shared_tokens_cannot_move() {
    let mut c = filled(4, &[0, 1]);
    let e = c.seq_add(0, 0..Pos::MAX, 1).unwrap_err().to_string();
    assert!(e.contains("shared"), "{e}");
    assert_eq!(c.seq_range(0).unwrap(), Some((0, 3)), "nothing moved");
}

#[test]
fn sequences_are_checked() {
    let mut c = filled(4, &[0]);
    for bad in [-1, 4, i32::MAX, i32::MIN] {
        assert!(c.seq_rm(bad, 0..1).is_err());
        assert!(c.seq_cp(0, bad, 0..1).is_err());
        assert!(c.seq_keep(bad).is_err());
        assert!(c.seq_add(bad, 0..1, 1).is_err());
        assert!(c.seq_range(bad).is_err());
    }
}

#[test]
fn a_full_cache_places_nothing() {
    let mut c = filled(128, &[0]);
    assert_eq!((c.n_free(), c.place(128, &[0])), (0, None));
    c.unplace(77);
    assert_eq!(c.place(128, &[0]), Some(77));
}
