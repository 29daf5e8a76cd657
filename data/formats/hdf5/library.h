// The HDF5 library as this folder uses it: one caller at a time, silent, with owned handles. Torch-free.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "data/formats/tensor_file.h"

namespace bitlaw::data::hdf5 {

// Debian's HDF5 is not thread-safe: whoever calls it holds a Session. While it lives, HDF5 does not print its
// error stack.
class Session {
 public:
  Session();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  std::lock_guard<std::mutex> lock_;
  H5E_auto2_t printer_ = nullptr;
  void* printer_data_ = nullptr;
};

// The innermost message of HDF5's error stack: the cause of the last failure.
std::string last_error();

// Owner of an HDF5 identifier.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor): it stands for the identifier
  bool is_valid() const { return id_ >= 0; }
  bool reset() {  // false: closing failed
    return id_ < 0 || close_(std::exchange(id_, -1)) >= 0;
  }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

// The little-endian type that holds `dtype`; bfloat16 lies in uint16.
Handle file_type(DType dtype);
Handle text_type();  // variable-length UTF-8

}  // namespace bitlaw::data::hdf5
