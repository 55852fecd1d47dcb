// The tables and views of cifarpipe.db, by version. docs/database.md explains them.
#pragma once

#include "tracking/database.hpp"

namespace cifarpipe {

/// Brings a database to this program's version, also when several processes open a new one at
/// once. Throws Error (environment) for a database of a newer cifarpipe.
void migrate(Database& db);

/// Throws Error (environment) for a database of a newer cifarpipe.
void require_not_newer(const Database& db);

/// For a database that can only be read: throws Error (environment) unless it has this version.
void require_this_version(const Database& db);

/// Makes the tables of an earlier version, without its views: what a test of the steps begins with.
void make_old_database(Database& db, int version);

}  // namespace cifarpipe
