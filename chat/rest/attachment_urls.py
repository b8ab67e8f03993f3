"""URLs of attachments: upload in one request or by tus, download."""

from django.urls import path

from chat.rest import attachment_views as attachments
from chat.rest import upload_views as uploads

urlpatterns = [
    path("attachments/", attachments.AttachmentsView.as_view()),
    path("attachments/<any_uuid:attachment_uuid>/", attachments.AttachmentView.as_view()),
    path("attachments/<any_uuid:attachment_uuid>/meta/", attachments.AttachmentMetaView.as_view()),
    path("attachments/<any_uuid:attachment_uuid>/thumbnail/", attachments.ThumbnailView.as_view()),
    path("uploads/", uploads.UploadsView.as_view()),
    path("uploads/<any_uuid:upload_uuid>/", uploads.UploadView.as_view()),
]
