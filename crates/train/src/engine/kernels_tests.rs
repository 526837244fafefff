use super::*;
use crate::random::Rng;

fn normals(rng: &mut Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.normal()).collect()
}

/// Checks `grad` against the central difference of `f` (a sum over outputs) at `x`.
fn check_gradient(x: &[f32], grad: &[f32], tolerance: f32, mut f: impl FnMut(&[f32]) -> f64) {
    let step = 1e-2f32;
    for i in 0..x.len() {
        let mut moved = x.to_vec();
        moved[i] = x[i] + step;
        let up = f(&moved);
        moved[i] = x[i] - step;
        let down = f(&moved);
        let slope = ((up - down) / (2.0 * f64::from(step))) as f32;
        assert!(
            (slope - grad[i]).abs() < tolerance * (1.0 + slope.abs()),
            "element {i}: difference {slope}, gradient {}",
            grad[i]
        );
    }
}

fn weighted(y: &[f32], weights: &[f32]) -> f64 {
    y.iter().zip(weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
}

#[test]
fn exp_is_close_everywhere() {
    for i in -8700..8800 {
        let x = i as f32 / 100.0;
        let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
        assert!((ours / exact - 1.0).abs() < 2.5e-7, "{x}: {ours} {exact}");
    }
    assert_eq!(exp(-1000.0), 0.0);
    assert_eq!(exp(0.0), 1.0);
}

#[test]
fn rmsnorm_gradient() {
    let mut rng = Rng::new(1, "rmsnorm");
    let (t, n, eps) = (3, 21, 1e-5);
    let (x, w, dy) = (normals(&mut rng, t * n), normals(&mut rng, n), normals(&mut rng, t * n));
    let run = |x: &[f32], w: &[f32]| {
        let (mut y, mut inverse) = (vec![0.0; t * n], vec![0.0; t]);
        rmsnorm(x, w, eps, n, &mut y, &mut inverse);
        (y, inverse)
    };
    let (_, inverse) = run(&x, &w);
    let (mut dx, mut dw) = (vec![9.0; t * n], vec![0.0; n]);
    rmsnorm_grad(&x, &w, &inverse, n, &dy, &mut dx, true, Some(&mut dw));
    check_gradient(&x, &dx, 2e-3, |x| weighted(&run(x, &w).0, &dy));
    check_gradient(&w, &dw, 2e-3, |w| weighted(&run(&x, w).0, &dy));
    let mut twice = dx.clone();
    rmsnorm_grad(&x, &w, &inverse, n, &dy, &mut twice, false, None);
    assert!(twice.iter().zip(&dx).all(|(a, b)| (a - 2.0 * b).abs() < 1e-5));
}

#[test]
fn swiglu_gradient() {
    let mut rng = Rng::new(2, "swiglu");
    let (t, f) = (2, 19);
    let (gate_up, d_act) = (normals(&mut rng, t * 2 * f), normals(&mut rng, t * f));
    let run = |gu: &[f32]| {
        let mut act = vec![0.0; t * f];
        swiglu(gu, f, &mut act);
        act
    };
    let (mut grad, mut act) = (vec![0.0; t * 2 * f], vec![0.0; t * f]);
    swiglu_grad(&gate_up, f, &d_act, &mut grad, &mut act);
    check_gradient(&gate_up, &grad, 2e-3, |gu| weighted(&run(gu), &d_act));
    let forward = run(&gate_up);
    assert!(act.iter().zip(&forward).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn rotation_is_undone_by_its_gradient() {
    let mut rng = Rng::new(3, "rotate");
    let (t, heads, half, stride) = (4, 2, 3, 15);
    let x = normals(&mut rng, t * stride);
    let angles: Vec<f32> = normals(&mut rng, t * half);
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|a| (a.cos(), a.sin())).unzip();
    let mut y = x.clone();
    rotate(&mut y, stride, heads, half, &cos, &sin, 1.0);
    assert!(y.iter().zip(&x).any(|(a, b)| (a - b).abs() > 0.1));
    rotate(&mut y, stride, heads, half, &cos, &sin, -1.0);
    assert!(y.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn cross_entropy_gradient() {
    let mut rng = Rng::new(4, "loss");
    let logits = normals(&mut rng, 37);
    let mut grad = logits.clone();
    let loss = cross_entropy(&mut grad, 11, 0.5);
    let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
    assert!((loss - (total.ln() - f64::from(logits[11]))).abs() < 1e-6);
    check_gradient(&logits, &grad, 1e-3, |x| 0.5 * cross_entropy(&mut x.to_vec(), 11, 1.0));
}

#[test]
fn bias_and_its_gradient() {
    let mut y = vec![1.0; 6];
    add_bias(&[1.0, 2.0, 3.0], &mut y);
    assert_eq!(y, [2.0, 3.0, 4.0, 2.0, 3.0, 4.0]);
    let mut db = vec![0.5; 3];
    add_bias_grad(&y, &mut db);
    assert_eq!(db, [4.5, 6.5, 8.5]);
    add(&[1.0, 1.0, 1.0], &mut db);
    assert_eq!(db, [5.5, 7.5, 9.5]);
}
