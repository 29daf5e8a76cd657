// The HDF5 library as this folder uses it: one caller at a time, silent, with owned handles.
#include "data/formats/hdf5/library.h"

#include "data/formats/hdf5/directory.h"

namespace bitlaw::data::hdf5 {

namespace {

// The library is one per process, so is its lock. Its clean-up at exit is switched off before its first use:
// every handle here has an owner, and after a close that failed (disk full) that clean-up touches a file that
// is gone.
std::mutex& library_mutex() {
  static std::mutex mutex;
  [[maybe_unused]] static const herr_t no_clean_up = H5dont_atexit();
  return mutex;
}

herr_t keep_description(unsigned, const H5E_error2_t* error, void* into) {
  if (error->desc != nullptr) {
    *static_cast<std::string*>(into) = error->desc;
  }
  return 1;  // the walk starts innermost: stop
}

hid_t standard_type(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return H5T_IEEE_F32LE;
    case DType::float64:
      return H5T_IEEE_F64LE;
    case DType::int8:
      return H5T_STD_I8LE;
    case DType::uint8:
      return H5T_STD_U8LE;
    case DType::int16:
      return H5T_STD_I16LE;
    case DType::uint16:
      return H5T_STD_U16LE;
    case DType::int32:
      return H5T_STD_I32LE;
    case DType::uint32:
      return H5T_STD_U32LE;
    case DType::int64:
      return H5T_STD_I64LE;
    case DType::uint64:
      return H5T_STD_U64LE;
    default:
      return -1;
  }
}

// HDF5 1.10 has no name for IEEE half precision, but can describe it; numpy knows the description.
Handle half_type() {
  Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  H5Tset_fields(type, 15, 10, 5, 0, 10);
  H5Tset_size(type, 2);
  H5Tset_ebias(type, 15);
  return type;
}

}  // namespace

Session::Session() : lock_(library_mutex()) {
  H5Eget_auto2(H5E_DEFAULT, &printer_, &printer_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Session::~Session() {
  H5Eset_auto2(H5E_DEFAULT, printer_, printer_data_);
}

std::string last_error() {
  std::string description = "unknown HDF5 error";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_description, &description);
  return description;
}

Handle file_type(DType dtype) {
  const DType stored = stored_as(dtype).value();
  return stored == DType::float16 ? half_type() : Handle(H5Tcopy(standard_type(stored)), H5Tclose);
}

Handle text_type() {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

}  // namespace bitlaw::data::hdf5
