// swift-tools-version: 6.0
import PackageDescription

// `trunnion` is the folder of that name in the archive of the release, beside this package.
let package = Package(
    name: "round_trip",
    platforms: [.macOS(.v13)],
    dependencies: [.package(name: "trunnion", path: "trunnion")],
    targets: [
        .executableTarget(name: "round_trip", dependencies: [.product(name: "Trunnion", package: "trunnion")])
    ]
)
