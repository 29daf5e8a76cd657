// HDF5 reading for golden tests; HDF5 converts types and undoes compression.
#include "tests/support/golden_file.h"

#include <ATen/ATen.h>
#include <hdf5.h>

#include <cstdlib>
#include <stdexcept>

namespace bitlaw::tests {

namespace {

// Closes an HDF5 identifier with the function of its kind.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t), const std::string& what) : id_(id), close_(close) {
    if (id < 0) throw std::runtime_error("golden file: cannot open " + what);
  }
  ~Handle() { close_(id_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

std::string folder() {
  const char* given = std::getenv("BITLAW_GOLDEN");
  return given != nullptr ? given : std::string(BITLAW_SOURCE_DIR) + "/tests/golden";
}

std::vector<hsize_t> shape_of(hid_t space) {
  std::vector<hsize_t> shape(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space)));
  if (!shape.empty()) H5Sget_simple_extent_dims(space, shape.data(), nullptr);
  return shape;
}

herr_t append_name(hid_t /*group*/, const char* name, const H5L_info_t* /*info*/, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

}  // namespace

GoldenFile::GoldenFile(const std::string& file_name) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const std::string path = folder() + "/" + file_name;
  file_ = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file_ < 0) throw std::runtime_error("golden file: cannot open " + path);
}

GoldenFile::~GoldenFile() {
  H5Fclose(file_);
}

bool GoldenFile::contains(const std::string& path) const {
  for (std::size_t end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1))
    if (H5Lexists(file_, path.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
  return H5Lexists(file_, path.c_str(), H5P_DEFAULT) > 0;
}

at::Tensor GoldenFile::tensor(const std::string& path) const {
  const Handle dataset(H5Dopen2(file_, path.c_str(), H5P_DEFAULT), H5Dclose, path);
  const Handle space(H5Dget_space(dataset.get()), H5Sclose, path);
  const Handle type(H5Dget_type(dataset.get()), H5Tclose, path);
  const bool real = H5Tget_class(type.get()) == H5T_FLOAT;
  std::vector<std::int64_t> sizes;
  for (const hsize_t size : shape_of(space.get())) sizes.push_back(static_cast<std::int64_t>(size));
  at::Tensor tensor = at::empty(sizes, real ? at::kFloat : at::kLong);
  const hid_t memory_type = real ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT64;
  if (H5Dread(dataset.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.mutable_data_ptr()) < 0)
    throw std::runtime_error("golden file: cannot read " + path);
  return tensor;
}

std::vector<std::string> GoldenFile::names(const std::string& group) const {
  const Handle handle(H5Gopen2(file_, group.c_str(), H5P_DEFAULT), H5Gclose, group);
  std::vector<std::string> names;
  H5Literate(handle.get(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, append_name, &names);
  return names;
}

std::map<std::string, at::Tensor> GoldenFile::tensors(const std::string& group) const {
  std::map<std::string, at::Tensor> tensors;
  for (const std::string& name : names(group)) tensors[name] = tensor(group + "/" + name);
  return tensors;
}

bool GoldenFile::has_attribute(const std::string& group, const std::string& name) const {
  return H5Aexists_by_name(file_, group.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::int64_t> GoldenFile::integers(const std::string& group, const std::string& name) const {
  const std::string what = group + " @" + name;
  const Handle attribute(H5Aopen_by_name(file_, group.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose, what);
  const Handle space(H5Aget_space(attribute.get()), H5Sclose, what);
  const Handle type(H5Aget_type(attribute.get()), H5Tclose, what);
  const auto count = static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get()));
  if (H5Tget_class(type.get()) == H5T_ENUM) {  // h5py's booleans: one signed byte
    std::vector<std::int8_t> flags(count);
    if (H5Aread(attribute.get(), type.get(), flags.data()) < 0)
      throw std::runtime_error("cannot read " + what);
    return {flags.begin(), flags.end()};
  }
  std::vector<std::int64_t> values(count);
  if (H5Aread(attribute.get(), H5T_NATIVE_INT64, values.data()) < 0)
    throw std::runtime_error("golden file: cannot read " + what);
  return values;
}

std::int64_t GoldenFile::integer(const std::string& group, const std::string& name) const {
  return integers(group, name).at(0);
}

}  // namespace bitlaw::tests
