fn main() {
    let pool = ouzel_pool::Pool::builder().build().unwrap();
    let bytes: &[u8] = {
        let slice = pool.get(100).unwrap();
        &slice[..10]
    };
    println!("{bytes:?}");
}
