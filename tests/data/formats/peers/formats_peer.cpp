// Our side of the comparison with the packages safetensors and gguf (peers.py).
//
//   formats_peer write FOLDER     ours.safetensors and ours.gguf, byte i of a tensor = (37 i + length of its
//   name) mod 256 formats_peer read FILE        one line a tensor: name, type, extents with commas, bytes in
//   hexadecimal digits
#include <cstdio>
#include <string>

#include "data/formats/gguf_file.h"
#include "data/formats/safetensors.h"
#include "data/formats/safetensors_header.h"

namespace {

using namespace bitlaw::data;

std::vector<std::byte> counted(const std::string& name, std::uint64_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((37 * i + name.size()) & 255U);
  }
  return bytes;
}

void write(const std::string& folder) {
  SafetensorsFile file;
  file.metadata = {{"format", "pt"}, {"note", "a \"quoted\" ä"}};
  for (const auto& [type, dtype] : kSafetensorsTypes) {
    for (const std::vector<std::int64_t>& shape :
         std::vector<std::vector<std::int64_t>>{{2, 8}, {0, 3}, {8}}) {
      const std::string name = std::string(type) + "/" + std::to_string(shape[0]);
      file.tensors.emplace(name, RawTensor{dtype, shape, counted(name, *byte_count(dtype, shape))});
    }
  }
  write_safetensors(folder + "/ours.safetensors", file);

  GgufHeader header;
  header.values = {{"general.architecture", std::string("var")},
                   {"general.alignment", std::uint32_t{64}},
                   {"t.bool", true},
                   {"t.f64", 0.25},
                   {"t.i64", std::int64_t{-7}},
                   {"t.words", GgufArray{std::vector<std::string>{"", "ä"}}},
                   {"t.numbers", GgufArray{std::vector<std::uint16_t>{1, 65535}}}};
  for (const GgmlTypeFacts& facts : ggml_types()) {
    // Of these two the package has another block size, or no name.
    if (facts.type != GgmlType::q8_1 && facts.type != GgmlType::q2_0) {
      header.tensors.push_back({std::string(facts.name), facts.type, {facts.block_elements * 2, 3}});
    }
  }
  write_gguf(folder + "/ours.gguf", header, [&](const std::string& name) {
    for (const GgufTensorInfo& info : header.tensors) {
      if (info.name == name) {
        return counted(name, *ggml_byte_count(info.type, info.dims));
      }
    }
    return std::vector<std::byte>();
  });
}

template <typename Extents>
void print(const std::string& name, std::string_view type, const Extents& extents,
           std::span<const std::byte> bytes) {
  std::string line = name + " " + std::string(type) + " ";
  for (const auto extent : extents) {
    line += std::to_string(extent) + ",";
  }
  line += " ";
  for (const std::byte byte : bytes) {
    line.push_back("0123456789abcdef"[static_cast<unsigned>(byte) >> 4U]);
    line.push_back("0123456789abcdef"[static_cast<unsigned>(byte) & 15U]);
  }
  std::puts(line.c_str());
}

void read(const std::string& path) {
  if (path.ends_with(".gguf")) {
    const GgufReader reader(path);
    for (const GgufTensorInfo& info : reader.header().tensors) {
      print(info.name, facts_of(info.type).name, info.dims, reader.read(info.name));
    }
    return;
  }
  for (const auto& [name, tensor] : read_safetensors(path).tensors) {
    print(name, safetensors_name(tensor.dtype), tensor.shape, tensor.bytes);
  }
}

}  // namespace

int main(int count, char** words) {
  const std::string verb = count == 3 ? words[1] : "";
  if (verb == "write") {
    write(words[2]);
  } else if (verb == "read") {
    read(words[2]);
  } else {
    std::fprintf(stderr, "usage: %s write FOLDER | read FILE\n", words[0]);
    return 2;
  }
  return 0;
}
