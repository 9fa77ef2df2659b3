fn cloned<T: Clone>(_: &T) {}

fn main() {
    let pool = ouzel_pool::Pool::builder().build().unwrap();
    cloned(&pool);
    cloned(&pool.get(100).unwrap());
}
