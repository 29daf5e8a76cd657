#include "trainer/progress.h"

#include <algorithm>

namespace bitlaw::trainer {

ProgressStyle progress_style(const ProgressSituation& situation) {
  if (situation.rank != 0 || !situation.is_terminal || situation.quiet) {
    return ProgressStyle::none;
  }
  return situation.no_color ? ProgressStyle::plain_bar : ProgressStyle::colour_bar;
}

std::string progress_line(std::int64_t done, std::int64_t total, const std::string& note,
                          ProgressStyle style) {
  constexpr std::int64_t kWidth = 30;
  const std::int64_t filled = total > 0 ? std::clamp<std::int64_t>(done * kWidth / total, 0, kWidth) : kWidth;
  const std::string bar(static_cast<std::size_t>(filled), '=');
  const std::string rest(static_cast<std::size_t>(kWidth - filled), ' ');
  const bool colour = style == ProgressStyle::colour_bar;
  return "[" + (colour ? "\x1b[32m" + bar + "\x1b[0m" : bar) + rest + "] " + std::to_string(done) + "/" +
         std::to_string(total) + "  " + note;
}

Progress::Progress(std::FILE* out, ProgressStyle style, std::int64_t total)
    : out_(out), style_(style), total_(total) {}

Progress::~Progress() {
  clear();
}

void Progress::show(std::int64_t done, const std::string& note) {
  if (style_ == ProgressStyle::none) {
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && done < total_ && now - last_ < std::chrono::milliseconds(100)) {
    return;
  }
  last_ = now;
  drawn_ = true;
  std::fprintf(out_, "\r\x1b[K%s", progress_line(done, total_, note, style_).c_str());
  std::fflush(out_);
}

void Progress::clear() {
  if (drawn_) {
    std::fprintf(out_, "\r\x1b[K");
    std::fflush(out_);
    drawn_ = false;
  }
}

}  // namespace bitlaw::trainer
