#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace frontier {

/// Sixteen hexadecimal digits that stand for some bytes (FNV-1a, 64 bits): to notice change, not to resist malice.
class Fingerprint {
 public:
  Fingerprint& add(std::span<std::byte const> bytes);
  Fingerprint& add(std::string_view text);
  std::string hex() const;

 private:
  std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

/// Of the three files that make a model: configuration, weights, tokenizer.
std::string fingerprint_of_model(std::filesystem::path const& folder);

}  // namespace frontier
