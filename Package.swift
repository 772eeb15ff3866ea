// swift-tools-version: 6.0
import PackageDescription

// The engine is a static library that is built beforehand: `swift/test.sh` does so for this repository. A program
// that depends on this package finds it by pkg-config (trunnion-swift.pc) or by LIBRARY_PATH; see docs/swift.md.
let package = Package(
    name: "trunnion",
    platforms: [.macOS(.v13), .iOS(.v16), .tvOS(.v16), .watchOS(.v9)],
    products: [
        .library(name: "Trunnion", targets: ["Trunnion"])
    ],
    targets: [
        .systemLibrary(name: "TrunnionFFI", path: "swift/Sources/TrunnionFFI", pkgConfig: "trunnion-swift"),
        .target(
            name: "TrunnionBindings", dependencies: ["TrunnionFFI"], path: "swift/Sources/TrunnionBindings",
            linkerSettings: [.linkedLibrary("trunnion_swift")]),
        .target(name: "Trunnion", dependencies: ["TrunnionBindings"], path: "swift/Sources/Trunnion"),
        .executableTarget(name: "vector_server", dependencies: ["Trunnion"], path: "swift/Tests/VectorServer"),
        .executableTarget(name: "exit_program", dependencies: ["Trunnion"], path: "swift/Tests/ExitProgram"),
        .executableTarget(name: "task_server", dependencies: ["Trunnion"], path: "swift/Tests/TaskServer"),
        .testTarget(
            name: "TrunnionTests",
            dependencies: [
                "Trunnion", "TrunnionBindings", "everything_server", "exit_program", "task_server", "vector_server",
            ],
            path: "swift/Tests/TrunnionTests"),
        .executableTarget(
            name: "everything_server", dependencies: ["Trunnion"], path: "examples/swift/everything_server"),
        .executableTarget(
            name: "everything_client", dependencies: ["Trunnion"], path: "examples/swift/everything_client"),
        .executableTarget(
            name: "docsearch_client", dependencies: ["Trunnion"], path: "examples/swift/docsearch_client"),
        .executableTarget(name: "bench_server", dependencies: ["Trunnion"], path: "examples/swift/bench_server"),
    ],
    swiftLanguageModes: [.v6]
)
