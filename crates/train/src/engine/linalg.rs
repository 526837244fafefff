//! Matrix views and products.
//!
//! The right-hand matrix is packed into panels of sixteen columns; weights that many products use are packed once.
//! Every element of a product is one chain of fused multiply-adds over blocks of [`BLOCK`] terms in order, and the
//! blocks are added in order. Blocking never depends on cache sizes, the number of rows or the instruction set, so a
//! product has the same bytes on every machine. That, and packing once, is why this is not a library.

use std::cell::RefCell;

/// Columns per panel: two AVX registers.
const WIDE: usize = 16;
/// Rows per tile.
const TALL: usize = 6;
/// Terms summed in one chain; a panel's block (16 KiB) stays in the first-level cache.
const BLOCK: usize = 256;
/// Terms up to which a transposed left-hand side is read where it lies.
const SHALLOW: usize = 64;
/// Rows of the left-hand side that pass all panels together; their block (66 KiB) stays in the second-level cache.
/// A multiple of [`TALL`]; bytes do not depend on it.
const BAND: usize = 66;

/// A read-only matrix view with row and column strides, in elements.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Rows stored one after another.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Mat::strided(data, rows, cols, cols)
    }

    /// Rows `row_stride` elements apart: a band of columns of a wider matrix.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(cols <= row_stride && fits(data.len(), rows, cols, row_stride));
        Mat { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        Mat {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A writable matrix view; columns are adjacent.
pub(crate) struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// Rows stored one after another.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        MatMut::strided(data, rows, cols, cols)
    }

    /// Rows `row_stride` elements apart.
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(cols <= row_stride && fits(data.len(), rows, cols, row_stride));
        MatMut { data, rows, cols, row_stride }
    }
}

fn fits(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= len
}

/// Whether a product replaces its destination or is added to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    Replace,
    Add,
}

/// A right-hand matrix [depth, cols] in panels: panel j holds columns 16j.. of every row, padded with zeros.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packed {
    data: Vec<f32>,
    depth: usize,
    cols: usize,
}

impl Packed {
    /// Packs `rhs`, in the buffer of the last one.
    pub(crate) fn pack(&mut self, rhs: Mat<'_>) {
        (self.depth, self.cols) = (rhs.rows, rhs.cols);
        self.data.resize(rhs.rows * rhs.cols.next_multiple_of(WIDE), 0.0);
        for (j, panel) in self.data.chunks_exact_mut((rhs.rows * WIDE).max(1)).enumerate() {
            let width = WIDE.min(rhs.cols - j * WIDE);
            if rhs.col_stride == 1 {
                for (p, row) in panel.chunks_exact_mut(WIDE).enumerate() {
                    row[..width].copy_from_slice(&rhs.data[p * rhs.row_stride + j * WIDE..][..width]);
                    row[width..].fill(0.0);
                }
            } else {
                pack_columns(rhs, j * WIDE, width, panel);
            }
        }
    }
}

/// One panel of a matrix whose columns are the contiguous direction's rows.
fn pack_columns(rhs: Mat<'_>, first: usize, width: usize, panel: &mut [f32]) {
    for i in 0..width {
        let column = &rhs.data[(first + i) * rhs.col_stride..];
        for p in 0..rhs.rows {
            panel[p * WIDE + i] = column[p * rhs.row_stride];
        }
    }
    if width < WIDE {
        for row in panel.chunks_exact_mut(WIDE) {
            row[width..].fill(0.0);
        }
    }
}

thread_local! {
    static RIGHT: RefCell<Packed> = RefCell::default();
    static LEFT: RefCell<Vec<f32>> = RefCell::default();
}

/// dst = scale x lhs x rhs, or dst += it. Single-threaded: threads take whole sequences, never parts of a product.
pub(crate) fn matmul(dst: MatMut<'_>, into: Into, scale: f32, lhs: Mat<'_>, rhs: Mat<'_>) {
    assert!(lhs.cols == rhs.rows && rhs.cols == dst.cols);
    RIGHT.with_borrow_mut(|packed| {
        packed.pack(rhs);
        matmul_packed(dst, into, scale, lhs, packed);
    });
}

/// The same with a packed right-hand matrix, of which the first `lhs.cols` rows and `dst.cols` columns count.
pub(crate) fn matmul_packed(dst: MatMut<'_>, into: Into, scale: f32, lhs: Mat<'_>, rhs: &Packed) {
    assert!(lhs.rows == dst.rows && lhs.cols <= rhs.depth && dst.cols <= rhs.cols);
    if lhs.col_stride == 1 || lhs.cols <= SHALLOW {
        return product(dst, into, scale, lhs, rhs);
    }
    // A deep transposed left-hand side is copied to rows: read with its stride, it would miss the cache at every step.
    LEFT.with_borrow_mut(|rows| {
        rows.resize(lhs.rows * lhs.cols, 0.0);
        transpose(lhs, rows);
        product(dst, into, scale, Mat::new(rows, lhs.rows, lhs.cols), rhs);
    });
}

/// Copies `from` to rows, in squares that fit the cache.
fn transpose(from: Mat<'_>, rows: &mut [f32]) {
    const SQUARE: usize = 16;
    for i0 in (0..from.rows).step_by(SQUARE) {
        for p0 in (0..from.cols).step_by(SQUARE) {
            for p in p0..(p0 + SQUARE).min(from.cols) {
                for i in i0..(i0 + SQUARE).min(from.rows) {
                    rows[i * from.cols + p] = from.data[i * from.row_stride + p * from.col_stride];
                }
            }
        }
    }
}

/// What the processor can do. Every variant computes the same bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Kernel {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                return Kernel::Avx2;
            }
        }
        Kernel::Plain
    }
}

/// Shapes were checked.
fn product(dst: MatMut<'_>, into: Into, scale: f32, lhs: Mat<'_>, rhs: &Packed) {
    assert!(lhs.cols > 0 || into == Into::Add, "a product of depth 0 replaces nothing");
    let kernel = Kernel::best();
    for top in (0..dst.rows).step_by(BAND) {
        for first in (0..lhs.cols).step_by(BLOCK) {
            let depth = BLOCK.min(lhs.cols - first);
            for column in (0..dst.cols).step_by(WIDE) {
                let strip = Strip {
                    lhs: &lhs.data[top * lhs.row_stride + first * lhs.col_stride..],
                    lhs_stride: lhs.row_stride,
                    lhs_step: lhs.col_stride,
                    panel: &rhs.data[column * rhs.depth + first * WIDE..][..depth * WIDE],
                    dst: &mut dst.data[top * dst.row_stride + column..],
                    dst_stride: dst.row_stride,
                    rows: BAND.min(dst.rows - top),
                    width: WIDE.min(dst.cols - column),
                    scale,
                    add: into == Into::Add || first > 0,
                };
                strip.run(kernel);
            }
        }
    }
}

/// A band of destination rows, one panel wide.
struct Strip<'a> {
    lhs: &'a [f32],
    /// From one row of the left-hand side to the next.
    lhs_stride: usize,
    /// From one column to the next.
    lhs_step: usize,
    panel: &'a [f32],
    dst: &'a mut [f32],
    dst_stride: usize,
    rows: usize,
    width: usize,
    scale: f32,
    add: bool,
}

impl Strip<'_> {
    fn run(self, kernel: Kernel) {
        match kernel {
            Kernel::Plain => self.plain(),
            // SAFETY: `Kernel::best` found AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { x86::avx2(self) },
        }
    }

    /// The definition of the arithmetic, for processors without a kernel of their own.
    fn plain(mut self) {
        let depth = self.panel.len() / WIDE;
        for i in 0..self.rows {
            let mut sums = [0.0f32; WIDE];
            let terms = self.lhs[i * self.lhs_stride..].iter().step_by(self.lhs_step).take(depth);
            for (a, b) in terms.zip(self.panel.chunks_exact(WIDE)) {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = a.mul_add(*b, *sum);
                }
            }
            self.store(i, &sums);
        }
    }

    /// Writes the sums of row i, as far as the strip is wide.
    #[inline(always)]
    fn store(&mut self, i: usize, sums: &[f32; WIDE]) {
        let row = &mut self.dst[i * self.dst_stride..][..self.width];
        for (value, sum) in row.iter_mut().zip(sums) {
            *value = if self.add { *value + self.scale * sum } else { self.scale * sum };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Tiles in registers: the same chains as [`Strip::plain`].

    use super::{Strip, TALL, WIDE};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(mut strip: Strip<'_>) {
        let two = strip.width > WIDE / 2;
        for row in (0..strip.rows).step_by(TALL) {
            match (strip.rows - row, two) {
                (TALL.., true) => sums::<6, 2>(&mut strip, row),
                (5, true) => sums::<5, 2>(&mut strip, row),
                (4, true) => sums::<4, 2>(&mut strip, row),
                (3, true) => sums::<3, 2>(&mut strip, row),
                (2, true) => sums::<2, 2>(&mut strip, row),
                (0 | 1, true) => sums::<1, 2>(&mut strip, row),
                (TALL.., false) => sums::<6, 1>(&mut strip, row),
                (5, false) => sums::<5, 1>(&mut strip, row),
                (4, false) => sums::<4, 1>(&mut strip, row),
                (3, false) => sums::<3, 1>(&mut strip, row),
                (2, false) => sums::<2, 1>(&mut strip, row),
                (0 | 1, false) => sums::<1, 1>(&mut strip, row),
            }
        }
    }

    /// ROWS x (8 VECTORS) sums. Plain index loops: they unroll to registers in every build.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    #[allow(clippy::needless_range_loop)]
    fn sums<const ROWS: usize, const VECTORS: usize>(strip: &mut Strip<'_>, first: usize) {
        let (depth, stride, step) = (strip.panel.len() / WIDE, strip.lhs_stride, strip.lhs_step);
        assert!(depth == 0 || (first + ROWS - 1) * stride + (depth - 1) * step < strip.lhs.len());
        let mut sums = [[_mm256_setzero_ps(); VECTORS]; ROWS];
        // SAFETY: step p reads row p of the panel and column p of ROWS left-hand rows, found inside by the assertion.
        unsafe {
            // One opaque pointer per row, or the compiler adds strides up one after another, in a chain as long as
            // the multiplications.
            let base = strip.lhs.as_ptr().add(first * stride);
            let rows: [*const f32; ROWS] =
                std::array::from_fn(|i| std::hint::black_box(base.wrapping_add(i * stride)));
            let mut column = 0;
            let mut panel = strip.panel.as_ptr();
            for _ in 0..depth {
                let mut right = [_mm256_setzero_ps(); VECTORS];
                for v in 0..VECTORS {
                    right[v] = _mm256_loadu_ps(panel.add(8 * v));
                }
                for i in 0..ROWS {
                    let left = _mm256_broadcast_ss(&*rows[i].add(column));
                    for v in 0..VECTORS {
                        sums[i][v] = _mm256_fmadd_ps(left, right[v], sums[i][v]);
                    }
                }
                column += step;
                panel = panel.add(WIDE);
            }
        }
        let scale = _mm256_set1_ps(strip.scale);
        for i in 0..ROWS {
            if strip.width == 8 * VECTORS {
                let out = strip.dst[(first + i) * strip.dst_stride..][..8 * VECTORS].as_mut_ptr();
                for v in 0..VECTORS {
                    // SAFETY: `out` has 8 x VECTORS elements.
                    unsafe {
                        let scaled = _mm256_mul_ps(scale, sums[i][v]);
                        let before = _mm256_loadu_ps(out.add(8 * v));
                        let value = if strip.add { _mm256_add_ps(before, scaled) } else { scaled };
                        _mm256_storeu_ps(out.add(8 * v), value);
                    }
                }
            } else {
                let mut spilled = [0.0; WIDE];
                for v in 0..VECTORS {
                    // SAFETY: `spilled` has room for WIDE >= 8 x VECTORS elements.
                    unsafe { _mm256_storeu_ps(spilled.as_mut_ptr().add(8 * v), sums[i][v]) };
                }
                strip.store(first + i, &spilled);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    fn normals(rng: &mut Rng, n: usize) -> Vec<f32> {
        (0..n).map(|_| rng.normal()).collect()
    }

    #[test]
    fn products_match_the_definition() {
        let mut rng = Rng::new(1, "linalg");
        for (m, n, k) in [(1, 1, 1), (5, 7, 3), (64, 33, 130), (17, 8, 600), (12, 24, 256), (7, 15, 257)] {
            let (a, b) = (normals(&mut rng, m * k), normals(&mut rng, n * k));
            let a_t: Vec<f32> = (0..m * k).map(|i| a[i % m * k + i / m]).collect();
            let b_t: Vec<f32> = (0..n * k).map(|i| b[i % n * k + i / n]).collect();
            let lefts = [Mat::new(&a, m, k), Mat::new(&a_t, k, m).t()];
            let rights = [Mat::new(&b, n, k).t(), Mat::new(&b_t, k, n)];
            let mut first = None;
            for (lhs, rhs) in lefts.into_iter().flat_map(|l| rights.map(|r| (l, r))) {
                let mut c = vec![1.0f32; m * (n + 3)];
                matmul(MatMut::strided(&mut c, m, n, n + 3), Into::Add, 0.5, lhs, rhs);
                for (i, row) in c.chunks_exact(n + 3).enumerate() {
                    for j in 0..n {
                        let dot: f32 = (0..k).map(|p| a[i * k + p] * b[j * k + p]).sum();
                        assert!((row[j] - 1.0 - 0.5 * dot).abs() < 1e-3, "{m} {n} {k}: {} {dot}", row[j]);
                    }
                    assert_eq!(row[n..], [1.0; 3]);
                }
                assert_eq!(*first.get_or_insert(c.clone()), c);
            }
        }
    }

    #[test]
    fn every_kernel_computes_the_same_bytes() {
        let mut rng = Rng::new(2, "kernel");
        let shapes =
            [(6, 16, 256, true), (6, 16, 33, false), (3, 11, 100, true), (2, 5, 7, false), (5, 8, 64, true)];
        for (rows, width, depth, add) in shapes {
            let (lhs, panel) = (normals(&mut rng, rows * 300), normals(&mut rng, depth * WIDE));
            let before = normals(&mut rng, rows * 40);
            let run = |kernel: Kernel| {
                let mut dst = before.clone();
                let (lhs, panel, scale) = (&lhs[..], &panel[..], 0.7);
                Strip {
                    lhs,
                    lhs_stride: 300,
                    lhs_step: 1,
                    panel,
                    dst: &mut dst,
                    dst_stride: 40,
                    rows,
                    width,
                    scale,
                    add,
                }
                .run(kernel);
                dst
            };
            let plain = run(Kernel::Plain);
            assert_ne!(plain, before);
            assert_eq!(plain, run(Kernel::best()));
        }
    }

    #[test]
    fn a_packed_matrix_serves_its_corners() {
        let mut rng = Rng::new(3, "corner");
        let (a, b) = (normals(&mut rng, 4 * 9), normals(&mut rng, 30 * 40));
        let mut packed = Packed::default();
        packed.pack(Mat::new(&b, 30, 40));
        let (mut corner, mut whole) = (vec![0.0; 4 * 21], vec![0.0; 4 * 21]);
        matmul_packed(MatMut::new(&mut corner, 4, 21), Into::Replace, 1.0, Mat::new(&a, 4, 9), &packed);
        matmul(
            MatMut::new(&mut whole, 4, 21),
            Into::Replace,
            1.0,
            Mat::new(&a, 4, 9),
            Mat::strided(&b, 9, 21, 40),
        );
        assert_eq!(corner, whole);
    }
}
