from osa_grpc.wire import pb
from osa_grpc.wire.transport import MAX_MESSAGE_BYTES
from tests.fixtures.archive import Archive, column


async def test_a_page_that_fits_no_message_is_cut_short_and_nothing_is_left_out(archive: Archive) -> None:
    convention = await archive.convention(metadata=[column("notes", pb.JSON_TYPE_STRING)])
    large = "x" * 900_000
    made = [await archive.draft(convention, metadata={"notes": large}) for _ in range(7)]
    stub = pb.DepositionServiceStub(archive.client._channel)
    names, pages, token = [], 0, ""
    while True:
        page = await stub.ListDepositions(pb.ListDepositionsRequest(page_size=1000, page_token=token))
        assert page.ByteSize() <= MAX_MESSAGE_BYTES
        names += [deposition.name for deposition in page.depositions]
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert names == made[::-1]
    assert pages == 2


async def test_a_listing_goes_on_where_its_page_ended(archive: Archive) -> None:
    convention = await archive.convention()
    made = [await archive.draft(convention) for _ in range(120)]
    for page_size in (1000, 50, 7):
        listed = [found.name async for found in archive.client.list_depositions(page_size=page_size)]
        assert listed == made[::-1]
