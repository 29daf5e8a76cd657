// Where the keys of a configuration were written, for messages. Torch-free.
#pragma once

#include <map>
#include <string>

namespace bitlaw::trainer {

// Dotted key -> "file:line", or "command line". Groups have places, too; keys that were not given have none.
using Places = std::map<std::string, std::string>;

// Of the key, or of the nearest group around it that was given; "": of neither.
std::string place_of(const Places& places, const std::string& key);

}  // namespace bitlaw::trainer
