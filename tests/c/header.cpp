// The header is C++ as well, and links as such.
#include <trunnion.h>

int main()
{
    const trn_str text = trn_cstr("1");
    double one = 0;
    const trn_status status = TRN_STATUS_OK;
    return trn_abi() == TRN_ABI && trn_json_number(text, "", &one) && one == 1 ? status : 1;
}
