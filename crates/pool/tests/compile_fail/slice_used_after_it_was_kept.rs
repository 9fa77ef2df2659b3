fn main() {
    let pool = ouzel_pool::Pool::builder().build().unwrap();
    let mut slice = pool.get(100).unwrap();
    let id = slice.into_id().unwrap();
    slice[0] = 1;
    drop(id);
}
