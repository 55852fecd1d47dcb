// Locks between processes: open-file-description locks on O_CLOEXEC descriptors. The kernel frees
// them when the last descriptor is closed, so nobody ever unlocks by hand, not even after kill -9.
// One thread a Lock; `try_lock` itself may be called from any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace cifarpipe {

/// Holds a lock on a file while it lives.
class Lock {
 public:
  Lock() = default;
  Lock(Lock&& other) noexcept;
  Lock& operator=(Lock&& other) noexcept;
  ~Lock();

  /// Creates `file` if needed and takes the exclusive lock, or returns nothing if another
  /// descriptor holds it (in any process, this one included). After locking it checks that the file
  /// is still the one at that path. Throws Error on anything else.
  static std::optional<Lock> try_lock(const std::filesystem::path& file);
  /// The same for a lock that any number of descriptors may share, but not with an exclusive one.
  /// Who may only read the file can share it, too.
  static std::optional<Lock> try_share(const std::filesystem::path& file);
  /// Takes over a locked descriptor that another process sent.
  static Lock adopt(int fd);

  int fd() const { return fd_; }
  bool held() const { return fd_ >= 0; }
  /// Closes the descriptor here. The lock lives on where it was sent to, if anywhere.
  void release();

 private:
  static std::optional<Lock> take(const std::filesystem::path& file, short type);
  int fd_ = -1;
};

/// Whether some descriptor holds the lock on `file` (F_OFD_GETLK); takes nothing. False if the
/// file does not exist.
bool is_locked(const std::filesystem::path& file);
/// The process that holds it as far as the kernel or the file's text tells; 0 if unknown.
int lock_holder(const std::filesystem::path& file);
/// Writes the caller's pid and `what` into a held lock's file, for those who wait.
void describe_holder(const Lock& lock, std::string_view what);
/// The text that describe_holder wrote, or "".
std::string holder_description(const std::filesystem::path& file);

}  // namespace cifarpipe
