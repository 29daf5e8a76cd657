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
  visitor(Field{"train",
                "folder of training shards: images (bitlaw data import) or tokens (bitlaw data tokenize)"},
          config.train);
  visitor(Field{"validation", "folder of validation shards of the same kind"}, config.validation);
  visitor(
      Field{"workers",
            "threads that read ahead on each rank; 0: reading takes its time in the training thread", 0, 64},
      config.workers);
  visitor(Field{"flip", "mirror each training image with probability one half (images only)"}, config.flip);
  visitor(Field{"crop_padding", "random crop after a border of so many pixels; 0: none (images only)", 0, 64},
          config.crop_padding);
}

}  // namespace bitlaw::data
