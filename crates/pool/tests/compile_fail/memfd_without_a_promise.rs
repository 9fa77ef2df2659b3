fn main() {
    let pool = ouzel_pool::Pool::builder().memory(ouzel_pool::Memory::Shared).build().unwrap();
    pool.reserve_region().unwrap();
    let region = pool.regions().pop().unwrap();
    println!("{:?}", region.memfd());
}
