/* A check that the installed library is the one that the header describes. */
#include <stdio.h>
#include <trunnion.h>

int main(void)
{
    trn_error *error = NULL;
    if (TRN_CHECK(&error) != TRN_STATUS_OK) {
        fprintf(stderr, "%s: %s\n", error->kind, error->message);
        return 1;
    }
    return 0;
}
