// LibTorch brings fmt's headers and no library of it: its functions are compiled here, once, not in every
// file that formats a text.
#include <fmt/format-inl.h>

namespace fmt::detail {  // declared extern in the headers
template auto thousands_sep_impl<char>(locale_ref) -> thousands_sep_result<char>;
template auto decimal_point_impl(locale_ref) -> char;
}  // namespace fmt::detail
