fn main() {
    let pool = ouzel_pool::Pool::builder().build().unwrap();
    let mut slice = pool.get(100).unwrap();
    let (head, tail) = slice.split_at(50).unwrap();
    slice[0] = 1;
    drop((head, tail));
}
