//! Link settings for Node addons (macOS resolves undefined symbols in the host).

fn main() {
    napi_build::setup();
}
