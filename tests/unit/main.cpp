#define BOOST_TEST_MODULE cifarpipe
#include <boost/test/unit_test.hpp>
