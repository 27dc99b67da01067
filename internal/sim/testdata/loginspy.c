/* A PKCS #11 library in front of another one, for tests: it counts logins in a file, and may report a locked PIN.
 *
 * Environment: LOGINSPY_MODULE is the library behind it, LOGINSPY_COUNT the file that gets one byte for each C_Login,
 * LOGINSPY_FLAGS is ORed into the flags of every token (C_GetTokenInfo), LOGINSPY_RESULT is what C_Login returns if set.
 * Both numbers are decimal. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CK_PTR *
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(CK_PTR name)
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(CK_PTR name)
#ifndef NULL_PTR
#define NULL_PTR 0
#endif
#include "pkcs11.h"

static CK_FUNCTION_LIST spy;
static CK_FUNCTION_LIST_PTR real;

static CK_RV login(CK_SESSION_HANDLE s, CK_USER_TYPE u, CK_UTF8CHAR_PTR pin, CK_ULONG len) {
	int f = open(getenv("LOGINSPY_COUNT"), O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (f < 0 || write(f, "x", 1) != 1) abort();
	close(f);
	const char *result = getenv("LOGINSPY_RESULT");
	if (result && *result) return strtoul(result, 0, 10);
	return real->C_Login(s, u, pin, len);
}

static CK_RV tokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
	CK_RV rv = real->C_GetTokenInfo(slot, info);
	const char *flags = getenv("LOGINSPY_FLAGS");
	if (rv == CKR_OK && flags && *flags) info->flags |= strtoul(flags, 0, 10);
	return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out) {
	if (!real) {
		void *lib = dlopen(getenv("LOGINSPY_MODULE"), RTLD_NOW | RTLD_LOCAL);
		if (!lib) return CKR_GENERAL_ERROR;
		CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR) = (CK_RV(*)(CK_FUNCTION_LIST_PTR_PTR))dlsym(lib, "C_GetFunctionList");
		if (!get || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
		spy = *real;
		spy.C_Login = login;
		spy.C_GetTokenInfo = tokenInfo;
	}
	*out = &spy;
	return CKR_OK;
}
