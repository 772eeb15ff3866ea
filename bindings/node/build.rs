//! Link settings that Node addons need (macOS: undefined symbols are looked up in the host).

fn main() {
    napi_build::setup();
}
