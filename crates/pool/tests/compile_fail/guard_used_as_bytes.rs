fn main() {
    let pool = ouzel_pool::Pool::builder().build().unwrap();
    let guard = pool.get(100).unwrap().guard();
    println!("{}", guard[0]);
}
