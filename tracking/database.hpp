// SQLite with errors as cifarpipe::Error and transactions that end well: a connection, a prepared
// statement, a transaction. WAL, synchronous=FULL; a busy database is waited for, never reported.
// One thread a connection; any number of processes on one file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace cifarpipe {

/// A value to be bound where its type is known only at run time.
using SqlValue = std::variant<std::int64_t, double, std::string>;

class Database {
 public:
  enum class Access {
    write,
    /// Nothing is made or changed, also no file beside it: for a store that only others can write.
    read,
  };
  /// Opens or, to write, creates the file. Throws Error (environment) with what to do.
  explicit Database(const std::filesystem::path& file, Access access = Access::write);
  ~Database();
  Database(const Database&) = delete;

  void execute(const char* sql);
  sqlite3* handle() const { return db_; }
  const std::filesystem::path& file() const { return file_; }
  Access access() const { return access_; }
  /// Rows that the last statement changed.
  std::int64_t changes() const;
  std::int64_t last_id() const;

 private:
  friend class Transaction;
  void open(const std::string& name, int flags);
  void open_to_write();
  void open_to_read();
  std::filesystem::path file_;
  Access access_;
  sqlite3* db_ = nullptr;
  int depth_ = 0;  // Of open Transactions.
};

/// A prepared statement. Must not outlive its database.
class Statement {
 public:
  Statement(const Database& db, std::string_view sql);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement(const Statement&) = delete;

  /// Binds all values from the first on, after a reset.
  template <class... T>
  Statement& with(const T&... values) {
    reset();
    int i = 0;
    (bind(++i, values), ...);
    return *this;
  }
  /// Binds more values, from the `first`-th on, without a reset: for statements of many rows.
  template <class... T>
  void bind_from(int first, const T&... values) {
    (bind(first++, values), ...);
  }
  /// The same for values of which the number is known only at run time.
  Statement& with_all(const std::vector<SqlValue>& values);
  /// One row further; false at the end.
  bool step();
  /// Runs a statement to its end; rows that it gives are passed over.
  void run();
  void reset();

  bool is_null(int column) const;
  bool is_real(int column) const;
  bool is_integer(int column) const;
  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  std::optional<std::string> optional_text(int column) const;

 private:
  void bind(int i, std::nullptr_t);
  void bind(int i, double v);
  void bind(int i, std::string_view v);
  template <class T>
  requires std::is_integral_v<T>
  void bind(int i, T v) { bind_integer(i, static_cast<std::int64_t>(v)); }
  template <class T>
  void bind(int i, const std::optional<T>& v) {
    v ? bind(i, *v) : bind(i, nullptr);
  }
  void bind_integer(int i, std::int64_t v);

  const Database* db_;
  sqlite3_stmt* statement_ = nullptr;
};

/// BEGIN IMMEDIATE; rolled back by the destructor unless committed. One within another belongs to
/// the outer one: only the outermost commits.
class Transaction {
 public:
  explicit Transaction(Database& db);
  ~Transaction();
  void commit();

 private:
  Database& db_;
  bool open_ = true;
};

}  // namespace cifarpipe
