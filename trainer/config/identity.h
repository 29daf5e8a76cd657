// What differs between the identity that a run was started with and the present one. Torch-free.
#pragma once

#include <string>
#include <vector>

namespace bitlaw::trainer {

// Each argument is the text of identity_yaml, to which a caller may have added lines "key: value" (content
// hashes of data, tokenizer and teacher). One message per key: "optim.lr was 0.001 and is now 0.002".
// Empty when they agree. InputError when a text is not YAML.
std::vector<std::string> identity_differences(const std::string& started_with, const std::string& now);

// InputError naming `checkpoint` and every key that differs.
void require_same_identity(const std::string& started_with, const std::string& now,
                           const std::string& checkpoint);

}  // namespace bitlaw::trainer
