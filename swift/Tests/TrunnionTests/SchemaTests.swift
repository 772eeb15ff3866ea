import Foundation
import Testing
import Trunnion
