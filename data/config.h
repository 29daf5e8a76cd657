// Configuration of the data section.
#pragma once

#include <cstdint>
#include <string>

#include "data/formats/field.h"

namespace bitlaw::data {

struct DataConfig {
  std::string train;
  std::string validation;
  std::int64_t workers = 1;
  bool flip = false;
  std::int64_t crop_padding = 0;
};

template <class Visitor>
void visit_fields(Visitor& visitor, DataConfig& config) {
  visitor(
      Field{"train", "folder of training shards (made by 'bitlaw data import' or 'bitlaw data tokenize')"},
      config.train);
  visitor(Field{"validation", "folder of validation shards"}, config.validation);
  visitor(Field{"workers", "loader threads of each rank", 0, 64}, config.workers);
  visitor(Field{"flip", "mirror each training image left-right with probability one half"}, config.flip);
  visitor(Field{"crop_padding", "random crop after padding by so many pixels; 0 switches it off", 0, 64},
          config.crop_padding);
}

}  // namespace bitlaw::data
