use ouzel::task::Executor;

fn main() {
    let executor = Executor::new().unwrap();
    let handle = executor.handle();
    std::thread::spawn(move || drop(handle.sleep(std::time::Duration::ZERO)));
}
